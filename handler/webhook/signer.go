package webhook

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Signer signs requests. It may be used concurrently.
type Signer struct{ keys [][]byte }

// NewSigner returns a Signer. Each secret is the base64 of 24 to 64 bytes, with
// or without the prefix "whsec_"; with several, each gives a signature of its
// own, so that a receiver who has any of them is satisfied. No error has a
// secret in it.
func NewSigner(secrets ...string) (*Signer, error) {
	keys, err := parseSecrets(secrets)
	if err != nil {
		return nil, err
	}
	return &Signer{keys: keys}, nil
}

// Sign sets the three headers of a request with this body. The ID must be the
// same whenever the same event is sent again; at is the time of this attempt. An
// ID is 1 to 256 visible ASCII characters without a full stop, which the
// signature uses itself; another is refused.
func (s *Signer) Sign(h http.Header, id string, at time.Time, body []byte) error {
	if !plainID(id) {
		return fmt.Errorf("webhook: the ID %.40q is not 1 to %d visible ASCII characters without a full stop", id, maxID)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(s.keys))
	for _, key := range s.keys {
		signatures = append(signatures, version+base64.StdEncoding.EncodeToString(mac(key, id, stamp, body)))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
	return nil
}
