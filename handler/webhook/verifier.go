package webhook

import (
	"crypto/ed25519"
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

// defaultTolerance is how far a timestamp may be off, both ways: a recorded
// request cannot be sent again for longer.
const defaultTolerance = 5 * time.Minute

// maxSignatures bounds the signatures of one request that are looked at: each
// costs time, before anybody is known.
const maxSignatures = 32

// ErrSignature is in the error of a request that is not signed as it should be.
// Such a request is answered with 401 and not acted upon.
var ErrSignature = errors.New("webhook signature")

// VerifierConfig has rarely needed settings. The zero VerifierConfig has the
// defaults.
type VerifierConfig struct {
	// Tolerance is how far a timestamp may be off, both ways. Zero means 5 minutes.
	// Longer forgives worse clocks and leaves more time to send a recorded request
	// again.
	Tolerance time.Duration

	// Now is the clock. It is called concurrently. Nil means time.Now.
	Now func() time.Time
}

// A Verifier checks signatures. It may be used concurrently.
type Verifier struct {
	keys, publics [][]byte
	config        VerifierConfig
}

// NewVerifier returns a Verifier that takes a signature made with any of the
// secrets: the base64 of 24 to 64 bytes each, with or without the prefix
// "whsec_", or "whpk_" and the base64 of an Ed25519 public key, for signatures of
// the scheme v1a. No error has a secret in it. A nil config has the defaults.
func NewVerifier(secrets []string, config *VerifierConfig) (*Verifier, error) {
	keys, publics, err := parseSecrets(secrets, publicPrefix, privatePrefix, "is a private key: a verifier needs the public one, which begins with "+publicPrefix)
	if err != nil {
		return nil, err
	}
	c := setting.Copy(config)
	if err := setting.Default("Tolerance", &c.Tolerance, defaultTolerance); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{keys: keys, publics: publics, config: c}, nil
}

// Verify checks a request's headers and its raw body and returns the event's ID,
// which is worth remembering: until the tolerance has passed, a recorded request
// can be sent again, and a sender that saw no answer will. The error wraps
// [ErrSignature], describes the fault, and reveals nothing of the right
// signature.
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
	headers := values(h, HeaderSignature)
	symmetrics, asymmetrics := parseSignatures(headers, symmetric, sha256.Size), parseSignatures(headers, asymmetric, ed25519.SignatureSize)
	if len(v.keys) == 0 {
		symmetrics = nil
	}
	if len(v.publics) == 0 {
		asymmetrics = nil
	}
	if len(symmetrics)+len(asymmetrics) == 0 {
		return "", fmt.Errorf("%w: no signature of version %s", ErrSignature, v.versions())
	}
	text := signedText(id, stamp, body)
	for _, key := range v.keys {
		want := mac(key, text)
		for _, got := range symmetrics {
			if hmac.Equal(got, want) { // in constant time
				return id, nil
			}
		}
	}
	for _, key := range v.publics {
		for _, got := range asymmetrics {
			if ed25519.Verify(key, text, got) {
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("%w: it does not match", ErrSignature)
}

// versions names the schemes that the verifier has keys for.
func (v *Verifier) versions() string {
	switch {
	case len(v.publics) == 0:
		return "1"
	case len(v.keys) == 0:
		return "1a"
	default:
		return "1 or 1a"
	}
}

// only returns a header that must be there once: of two, the program behind this
// one might read the other.
func (v *Verifier) only(h http.Header, name string) (string, error) {
	switch vs := values(h, name); {
	case len(vs) == 0 || vs[0] == "":
		return "", fmt.Errorf("%w: the header %s is missing", ErrSignature, strings.ToLower(name))
	case len(vs) > 1:
		return "", fmt.Errorf("%w: the header %s occurs %d times", ErrSignature, strings.ToLower(name), len(vs))
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

// parseSignatures returns the signatures of a scheme, each of that size. It passes
// over those of another scheme, and what is not a signature.
func parseSignatures(headers []string, scheme string, size int) [][]byte {
	var found [][]byte
	for _, h := range headers {
		for part := range strings.FieldsSeq(h) {
			encoded, ok := strings.CutPrefix(part, scheme)
			if !ok {
				continue
			}
			s, err := base64.StdEncoding.Strict().DecodeString(encoded)
			if err != nil || len(s) != size {
				continue
			}
			if found = append(found, s); len(found) == maxSignatures {
				return found
			}
		}
	}
	return found
}
