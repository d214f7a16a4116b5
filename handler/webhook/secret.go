package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The headers of a signed request.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
	// The names of the two schemes, and what separates them from the signature.
	symmetric  = "v1,"
	asymmetric = "v1a,"
	// minSecret and maxSecret bound a secret in bytes, by the specification
	// ("between 24 bytes (192 bits) and 64 bytes (512 bits)").
	minSecret, maxSecret = 24, 64
	// maxID bounds an ID; the specification has no limit, but an ID becomes a key
	// wherever duplicates are detected.
	maxID = 256
)

// parseSecrets decodes secrets and the keys that have the given prefix. The key of a
// pair is 32 bytes: an Ed25519 public key, or the seed of a private one. They
// themselves stay out of the errors.
func parseSecrets(texts []string, pairPrefix, wrongPrefix, wrong string) (secrets, pairs [][]byte, err error) {
	if len(texts) == 0 {
		return nil, nil, errors.New("webhook: no secret")
	}
	for i, text := range texts {
		refuse := func(format string, args ...any) error {
			return fmt.Errorf("webhook: secret %d of %d "+format, append([]any{i + 1, len(texts)}, args...)...)
		}
		if strings.HasPrefix(text, wrongPrefix) {
			return nil, nil, refuse("%s", wrong)
		}
		if encoded, ok := strings.CutPrefix(text, pairPrefix); ok {
			key, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil || len(key) != ed25519.SeedSize {
				return nil, nil, refuse("is not %s and the base64 of %d bytes", pairPrefix, ed25519.SeedSize)
			}
			pairs = append(pairs, key)
			continue
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
		if err != nil || len(key) < minSecret || len(key) > maxSecret {
			return nil, nil, refuse("is not %s and the base64 of %d to %d bytes", secretPrefix, minSecret, maxSecret)
		}
		secrets = append(secrets, key)
	}
	return secrets, pairs, nil
}

// signedText returns the bytes that a signature is made over.
func signedText(id, stamp string, body []byte) []byte {
	text := make([]byte, 0, len(id)+len(stamp)+2+len(body))
	text = append(append(append(append(text, id...), '.'), stamp...), '.')
	return append(text, body...)
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// plainID is true for an ID that can be signed. A full stop, which separates the
// ID from the timestamp, could move bytes between the two.
func plainID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '.' {
			return false
		}
	}
	return true
}
