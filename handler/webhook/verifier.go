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

	"github.com/sluice-go/sluice/internal/setting"
)

// DefaultTolerance is how far a timestamp may be off, both ways: a recorded
// request cannot be sent again for longer.
const DefaultTolerance = 5 * time.Minute

// maxSignatures bounds the signatures of one request that are looked at: each
// costs time, before anybody is known.
const maxSignatures = 32

// ErrSignature is in the error of a request that is not signed as it should be.
// Such a request is answered with 401 and not acted upon.
var ErrSignature = errors.New("webhook signature")

// VerifierConfig has what is rarely needed. The zero VerifierConfig has the
// defaults.
type VerifierConfig struct {
	// Tolerance is how far a timestamp may be off. Zero means
	// [DefaultTolerance]. Longer forgives worse clocks and leaves more time to
	// send a recorded request again.
	Tolerance time.Duration

	// Now is the clock. It is called concurrently. Nil means time.Now.
	Now func() time.Time
}

// A Verifier checks signatures. It may be used concurrently.
type Verifier struct {
	keys   [][]byte
	config VerifierConfig
}

// NewVerifier returns a Verifier that takes a signature made with any of the
// secrets: the base64 of 24 to 64 bytes each, with or without the prefix
// "whsec_". No error has a secret in it. A nil config has the defaults.
func NewVerifier(secrets []string, config *VerifierConfig) (*Verifier, error) {
	keys, err := parseSecrets(secrets)
	if err != nil {
		return nil, err
	}
	c := setting.Copy(config)
	if err := setting.Default("Tolerance", &c.Tolerance, DefaultTolerance); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{keys: keys, config: c}, nil
}

// Verify checks a request's headers and its raw body and returns the event's ID,
// which is worth remembering: until the tolerance has passed, a recorded request
// can be sent again, and a sender that saw no answer will. The error is
// [ErrSignature] with what is wrong, and reveals nothing of the right signature.
func (v *Verifier) Verify(h http.Header, body []byte) (id string, err error) {
	id, err = v.only(h, HeaderID)
	if err != nil {
		return "", err
	}
	stamp, err := v.only(h, HeaderTimestamp)
	if err != nil {
		return "", err
	}
	if !plainID(id) {
		return "", fmt.Errorf("%w: malformed ID", ErrSignature)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: malformed timestamp", ErrSignature)
	}
	if age := v.config.Now().Sub(time.Unix(seconds, 0)); age > v.config.Tolerance || age < -v.config.Tolerance {
		return "", fmt.Errorf("%w: the timestamp is %v off", ErrSignature, age.Round(time.Second))
	}
	signatures := parseSignatures(values(h, HeaderSignature))
	if len(signatures) == 0 {
		return "", fmt.Errorf("%w: no signature of version 1", ErrSignature)
	}
	for _, key := range v.keys {
		want := mac(key, id, stamp, body)
		for _, got := range signatures {
			if hmac.Equal(got, want) { // in constant time
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("%w: it does not match", ErrSignature)
}

// only returns a header that must be there once: of two, the program behind this
// one might read the other.
func (v *Verifier) only(h http.Header, name string) (string, error) {
	switch vs := values(h, name); {
	case len(vs) == 0 || vs[0] == "":
		return "", fmt.Errorf("%w: the header %s is missing", ErrSignature, strings.ToLower(name))
	case len(vs) > 1:
		return "", fmt.Errorf("%w: the header %s is there %d times", ErrSignature, strings.ToLower(name), len(vs))
	default:
		return vs[0], nil
	}
}

// values returns the values of a header. Its name may be in any case: what builds an
// http.Header from another thing (API Gateway's event, a message's attributes) need not
// write it as net/http does.
func values(h http.Header, name string) []string {
	vs, found := h.Values(name), 0
	for key, more := range h {
		if len(key) != len(name) || !strings.EqualFold(key, name) {
			continue
		}
		if found++; found == 1 {
			vs = more
		} else {
			vs = append(vs[:len(vs):len(vs)], more...)
		}
	}
	return vs
}

// parseSignatures returns the signatures of version 1; what is of another
// version, or no signature, is passed over.
func parseSignatures(headers []string) [][]byte {
	var found [][]byte
	for _, h := range headers {
		for part := range strings.FieldsSeq(h) {
			encoded, ok := strings.CutPrefix(part, version)
			if !ok {
				continue
			}
			s, err := base64.StdEncoding.Strict().DecodeString(encoded)
			if err != nil || len(s) != sha256.Size {
				continue
			}
			if found = append(found, s); len(found) == maxSignatures {
				return found
			}
		}
	}
	return found
}
