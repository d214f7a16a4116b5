package inbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// keys are the secrets of a provider whose signatures are HMAC-SHA256. Any of them may
// have made a signature.
type keys [][]byte

// newKeys returns the secrets as keys. It refuses an empty one, and one with blanks
// around it, which a file's line feed makes. No error has a secret in it.
func newKeys(provider string, secrets []string) (keys, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("inbox: %s: no secret", provider)
	}
	var faults []error
	ks := make(keys, 0, len(secrets))
	for i, s := range secrets {
		switch {
		case s == "":
			faults = append(faults, fmt.Errorf("inbox: %s: secret %d of %d is empty", provider, i+1, len(secrets)))
		case s != strings.TrimSpace(s):
			faults = append(faults, fmt.Errorf("inbox: %s: secret %d of %d begins or ends with a blank", provider, i+1, len(secrets)))
		}
		ks = append(ks, []byte(s))
	}
	return ks, errors.Join(faults...)
}

// signed reports whether one of the signatures is that of one of the keys over the
// parts together.
func (ks keys) signed(signatures [][]byte, parts ...[]byte) bool {
	found := false
	for _, key := range ks {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		want := h.Sum(nil)
		for _, got := range signatures {
			found = hmac.Equal(got, want) || found // in constant time
		}
	}
	return found
}

// only returns the value of a header that must be there once: of two, the program
// behind this one might read the other.
func only(h http.Header, name string) (string, error) {
	switch vs := h.Values(name); {
	case len(vs) == 0 || vs[0] == "":
		return "", fmt.Errorf("%w: the header %s is missing", ErrSignature, name)
	case len(vs) > 1:
		return "", fmt.Errorf("%w: the header %s is there %d times", ErrSignature, name, len(vs))
	default:
		return vs[0], nil
	}
}

// fresh returns an error unless the timestamp, in seconds since 1970, is at most
// tolerance from now.
func fresh(stamp string, now time.Time, tolerance time.Duration) error {
	seconds, err := parseStamp(stamp)
	if err != nil {
		return err
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("%w: the timestamp is %v off", ErrSignature, age.Round(time.Second))
	}
	return nil
}

// parseStamp reads up to 12 digits, which is until the year 33658.
func parseStamp(stamp string) (seconds int64, err error) {
	if stamp == "" || len(stamp) > 12 {
		return 0, fmt.Errorf("%w: malformed timestamp", ErrSignature)
	}
	for i := range len(stamp) {
		if stamp[i] < '0' || stamp[i] > '9' {
			return 0, fmt.Errorf("%w: malformed timestamp", ErrSignature)
		}
		seconds = 10*seconds + int64(stamp[i]-'0')
	}
	return seconds, nil
}
