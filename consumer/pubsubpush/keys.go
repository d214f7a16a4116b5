package pubsubpush

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// keysTimeout bounds one request for the keys.
	keysTimeout = 5 * time.Second
	// keysLife is how long keys are valid if their server does not specify it.
	keysLife = time.Hour
	// maxStale is how long known keys are used while their server can't be reached:
	// long enough to end an outage, but not forever.
	maxStale = 24 * time.Hour
	// firstInterval is the shortest time between two requests while no key is
	// known.
	firstInterval = time.Second
	// maxKeysBytes bounds a key set, maxKeys the keys that are taken from it.
	maxKeysBytes = 1 << 20
	maxKeys      = 100
	minRSABits   = 2048
)

var (
	// errKeys is the error of a token that can't be verified.
	errKeys = errors.New("the keys for verifying tokens are unreachable")
	// errUnknownKey is the error of a token whose key is not in the set.
	errUnknownKey = errors.New("the token is signed with an unknown key")
)

// A keySet holds the signer's public keys, which it fetches when they are needed. No
// small library does all of the following, each of which has prevented an outage or
// an attack: it limits requests for the keys to one in an interval, whatever tokens
// arrive; it obeys the server's max-age; and it keeps using known keys while the
// server is down.
type keySet struct {
	url      string
	client   *http.Client
	interval time.Duration
	log      *slog.Logger

	mu      sync.Mutex
	keys    map[string]jose.JSONWebKey // by key ID
	fresh   time.Time                  // the end of the keys' validity
	usable  time.Time                  // the end of their use while the server is down
	asked   time.Time                  // the time of the last request, or of its answer
	failing bool                       // the last request failed
	asking  chan struct{}              // closed when the request under way is answered; nil if there is none
}

// key returns the key with an ID, fetching the keys if necessary.
func (k *keySet) key(ctx context.Context, id string) (jose.JSONWebKey, error) {
	for {
		k.mu.Lock()
		now := time.Now()
		if !now.Before(k.usable) {
			k.keys = nil
		}
		key, known := k.keys[id]
		if known && now.Before(k.fresh) {
			k.mu.Unlock()
			return key, nil
		}
		answer := k.asking
		if answer == nil {
			interval := k.interval
			if len(k.keys) == 0 {
				interval = min(interval, firstInterval)
			}
			if !k.asked.IsZero() && now.Sub(k.asked) < interval {
				none := len(k.keys) == 0
				k.mu.Unlock()
				switch {
				case known:
					return key, nil // a request has just failed
				case none:
					return key, errKeys
				}
				return key, errUnknownKey
			}
			k.asked = now
			answer = make(chan struct{})
			k.asking = answer
			// The first push's context must not end the request: others wait for
			// its answer too.
			go k.refresh(context.WithoutCancel(ctx), answer)
		}
		k.mu.Unlock()
		select {
		case <-answer:
		case <-ctx.Done():
			return jose.JSONWebKey{}, context.Cause(ctx)
		}
	}
}

// refresh requests the keys once.
func (k *keySet) refresh(ctx context.Context, answer chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	var (
		keys map[string]jose.JSONWebKey
		life time.Duration
		err  error
	)
	// The client is the user's. If it panics, the process must not end, and the
	// waiting pushes must get an answer.
	if failed := invoke.DoApart(func() { keys, life, err = k.fetch(ctx) }); failed != nil {
		err = failed
	}
	known, changed := k.take(keys, life, err, answer)
	switch {
	case !changed:
	case err != nil:
		k.log.ErrorContext(ctx, "the keys for verifying push tokens cannot be fetched: known keys remain in use",
			"url", k.url, "known", known, "error", invoke.Safe(err))
	default:
		k.log.InfoContext(ctx, "the keys for verifying push tokens can be fetched again", "url", k.url)
	}
}

// take stores the result of a request for the keys and wakes the waiting pushes. It
// returns the number of known keys, and whether the request failed for the first time
// or succeeded again.
func (k *keySet) take(keys map[string]jose.JSONWebKey, life time.Duration, err error, answer chan struct{}) (known int, changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(answer)
	now := time.Now()
	k.asking = nil
	k.asked = now // after a slow answer the next request must not follow immediately
	changed = k.failing != (err != nil)
	k.failing = err != nil
	if err == nil {
		k.keys = keys
		k.fresh = now.Add(life)
		k.usable = now.Add(max(life, maxStale))
	}
	return len(k.keys), changed
}

// fetch returns the keys by their IDs, and how long they are valid.
func (k *keySet) fetch(ctx context.Context) (map[string]jose.JSONWebKey, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the server responded with %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeysBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(body) > maxKeysBytes {
		return nil, 0, fmt.Errorf("the response has more than %d bytes", maxKeysBytes)
	}
	keys, err := parseKeys(body)
	return keys, k.life(resp.Header), err
}

// parseKeys parses a JWK set. It ignores keys that can't verify tokens: a set may
// contain keys of kinds that do not exist yet.
func parseKeys(body []byte) (map[string]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("the response is not a JWK set: %w", err)
	}
	keys := make(map[string]jose.JSONWebKey, len(set.Keys))
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err == nil && verifies(&key) {
			keys[key.KeyID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set has no key for verifying tokens")
	}
	return keys, nil
}

// verifies reports whether a key is a public key that may verify signatures.
func verifies(key *jose.JSONWebKey) bool {
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch pub := key.Key.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen() >= minRSABits && (key.Algorithm == "" || key.Algorithm == string(jose.RS256))
	case *ecdsa.PublicKey:
		return pub.Curve == elliptic.P256() && (key.Algorithm == "" || key.Algorithm == string(jose.ES256))
	}
	return false
}

// life returns how long an answer is valid by its Cache-Control.
func (k *keySet) life(h http.Header) time.Duration {
	life := keysLife
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return k.interval
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				life = time.Duration(n) * time.Second
			}
		}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		life -= time.Duration(age) * time.Second
	}
	return min(max(life, k.interval), maxStale)
}
