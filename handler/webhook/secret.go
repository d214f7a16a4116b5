package webhook

import (
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
	secretPrefix = "whsec_"
	version      = "v1,"
	// minSecret and maxSecret bound a secret in bytes, by the specification
	// ("between 24 bytes (192 bits) and 64 bytes (512 bits)").
	minSecret, maxSecret = 24, 64
	// maxID bounds an ID; the specification has no limit, but an ID becomes a key
	// wherever duplicates are detected.
	maxID = 256
)

// parseSecrets decodes secrets. They themselves stay out of the errors.
func parseSecrets(secrets []string) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, errors.New("webhook: no secret")
	}
	keys := make([][]byte, 0, len(secrets))
	for i, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil || len(key) < minSecret || len(key) > maxSecret {
			return nil, fmt.Errorf("webhook: secret %d of %d is not %s and the base64 of %d to %d bytes",
				i+1, len(secrets), secretPrefix, minSecret, maxSecret)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func mac(key []byte, id, stamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + stamp + "."))
	h.Write(body)
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
