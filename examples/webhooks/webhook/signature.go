package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed event.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Tolerance is how far a timestamp may be off: a recorded request cannot be sent
// again for longer.
const Tolerance = 5 * time.Minute

// ErrSignature is in the error of a request that is not signed as it should be.
var ErrSignature = errors.New("webhook signature")

// A Verifier checks signatures. It may be used concurrently.
type Verifier struct {
	secrets [][]byte
	now     func() time.Time
}

// minSecret is the shortest secret that is taken, in bytes: the specification
// asks for 24 to 64.
const minSecret = 24

// NewVerifier returns a Verifier for the given secrets, each base64 with or
// without the prefix "whsec_". While a secret is rotated both the old and the
// new one are given. now is nil for the machine's clock.
func NewVerifier(now func() time.Time, secrets ...string) (*Verifier, error) {
	v := &Verifier{now: now}
	if v.now == nil {
		v.now = time.Now
	}
	for i, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || len(key) < minSecret {
			// The secret itself stays out of the error.
			return nil, fmt.Errorf("webhook secret %d is not the base64 of %d bytes or more", i+1, minSecret)
		}
		v.secrets = append(v.secrets, key)
	}
	if len(v.secrets) == 0 {
		return nil, errors.New("no webhook secret")
	}
	return v, nil
}

// Verify checks the signature of a request's body and returns the event's ID.
func (v *Verifier) Verify(h http.Header, body []byte) (string, error) {
	id, stamp, signatures := h.Get(HeaderID), h.Get(HeaderTimestamp), h.Get(HeaderSignature)
	if id == "" || stamp == "" || signatures == "" {
		return "", fmt.Errorf("%w: a header is missing", ErrSignature)
	}
	if strings.Contains(id, ".") || len(id) > 256 {
		return "", fmt.Errorf("%w: malformed ID", ErrSignature) // a dot could move bytes between ID and timestamp
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: malformed timestamp", ErrSignature)
	}
	if age := v.now().Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return "", fmt.Errorf("%w: the timestamp is %v off", ErrSignature, age.Round(time.Second))
	}
	for part := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(part, "v1,")
		if !ok {
			continue // another version
		}
		got, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		for _, key := range v.secrets {
			if hmac.Equal(got, sign(key, id, stamp, body)) { // in constant time
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("%w: it does not match", ErrSignature)
}

func sign(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Sign sets the headers of an event, as its sender does. secret is as for
// [NewVerifier].
func Sign(h http.Header, secret, id string, at time.Time, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return errors.New("the webhook secret is no base64")
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, "v1,"+base64.StdEncoding.EncodeToString(sign(key, id, stamp, body)))
	return nil
}
