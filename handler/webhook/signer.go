package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Signer signs requests. It may be used concurrently.
type Signer struct {
	keys  [][]byte
	pairs []ed25519.PrivateKey
}

// NewSigner returns a Signer. Each secret is the base64 of 24 to 64 bytes, with
// or without the prefix "whsec_", or "whsk_" and the base64 of an Ed25519 private
// key's seed of 32 bytes. With several, each gives a signature of its own, so that
// a receiver who has any of them is satisfied. No error has a secret in it.
func NewSigner(secrets ...string) (*Signer, error) {
	keys, seeds, err := parseSecrets(secrets, privatePrefix, publicPrefix, "is a public key: a signer needs the private one, which begins with "+privatePrefix)
	if err != nil {
		return nil, err
	}
	s := &Signer{keys: keys}
	for _, seed := range seeds {
		s.pairs = append(s.pairs, ed25519.NewKeyFromSeed(seed))
	}
	return s, nil
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
	text := signedText(id, stamp, body)
	signatures := make([]string, 0, len(s.keys)+len(s.pairs))
	for _, key := range s.keys {
		signatures = append(signatures, symmetric+base64.StdEncoding.EncodeToString(mac(key, text)))
	}
	for _, key := range s.pairs {
		signatures = append(signatures, asymmetric+base64.StdEncoding.EncodeToString(ed25519.Sign(key, text)))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
	return nil
}
