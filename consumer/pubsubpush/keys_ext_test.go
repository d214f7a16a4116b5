package pubsubpush_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

type handlerObserver = handler.Observer

// A keyServer is an issuer that is asked without a socket, so that a test's clock
// can be the bubble's.
type keyServer struct {
	issuer *pushtest.Issuer
	gone   atomic.Bool // its answers do not come
}

func (s *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.gone.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	s.issuer.ServeHTTP(w, r)
	return w.Result(), nil
}

// newKeyServer has a key of the kind that is made and signed with quickly.
func newKeyServer(t testing.TB) *keyServer {
	t.Helper()
	return &keyServer{issuer: issuerOf(t, newKey(t, "one", jose.ES256))}
}

func verified(t testing.TB, s *keyServer) (*pubsubpush.Endpoint, *recorder) {
	t.Helper()
	h := &recorder{}
	e, err := pubsubpush.New(h, &pubsubpush.Config{
		Audiences: []string{audience}, Emails: []string{email},
		KeysURL: "http://keys.invalid", KeysClient: &http.Client{Transport: s}, KeysInterval: time.Minute,
	})
	require.NoError(t, err)
	return e, h
}

func push(t testing.TB, e http.Handler, k pushtest.Key) int {
	t.Helper()
	return post(e, hello, "Authorization", "Bearer "+sign(t, k, with(nil))).Code
}

// pass moves the bubble's clock.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
}

func TestKeysRotate(t *testing.T) {
	s := newKeyServer(t)
	one, two, three := s.issuer.Key(), newKey(t, "two", jose.ES256), newKey(t, "three", jose.ES256)
	synctest.Test(t, func(t *testing.T) {
		e, _ := verified(t, s)
		require.Equal(t, 204, push(t, e, one))
		require.Equal(t, 204, push(t, e, one))
		require.Equal(t, 1, s.issuer.Fetched(), "keys are kept")

		// A new key causes a request, but not a second one immediately.
		s.issuer.SetKeys(one, two)
		require.Equal(t, 401, push(t, e, two), "the keys were fetched within the interval")
		require.Equal(t, 1, s.issuer.Fetched())
		pass(time.Minute)
		require.Equal(t, 204, push(t, e, two))
		require.Equal(t, 204, push(t, e, one), "the old key is still there")
		require.Equal(t, 2, s.issuer.Fetched())

		// A flood of unknown keys is one request a minute.
		unknown := newKey(t, "unknown", jose.ES256)
		for range 300 {
			require.Equal(t, 401, push(t, e, unknown))
			pass(time.Second)
		}
		require.LessOrEqual(t, s.issuer.Fetched(), 2+5)

		// A key that is gone is refused as soon as the keys are no longer fresh.
		s.issuer.SetKeys(two, three)
		pass(time.Hour)
		require.Equal(t, 401, push(t, e, one))
		require.Equal(t, 204, push(t, e, three))
	})
}

func TestKeysAreKeptForAsLongAsTheirServerSays(t *testing.T) {
	for _, c := range []struct {
		control string
		pushes  int // one every ten minutes
		fetched int
	}{
		{"public, max-age=3600, must-revalidate", 7, 2},
		{"max-age=\"1200\"", 7, 4},
		{"", 7, 2},
		{"no-store", 7, 7},
		{"max-age=0", 7, 7},
		{"max-age=99999999999999999999", 7, 2},
		{"max-age=999999999", 145, 2},
	} {
		s := newKeyServer(t)
		s.issuer.SetCache(c.control)
		synctest.Test(t, func(t *testing.T) {
			e, _ := verified(t, s)
			for range c.pushes {
				require.Equal(t, 204, push(t, e, s.issuer.Key()))
				pass(10 * time.Minute)
			}
			require.Equal(t, c.fetched, s.issuer.Fetched(), c.control)
		})
	}
}

func TestKnownKeysOutliveTheirServer(t *testing.T) {
	s := newKeyServer(t)
	synctest.Test(t, func(t *testing.T) {
		e, h := verified(t, s)
		require.Equal(t, 204, push(t, e, s.issuer.Key()))
		s.issuer.SetDown(true)
		for range 12 {
			pass(time.Hour)
			require.Equal(t, 204, push(t, e, s.issuer.Key()))
		}
		require.Equal(t, 13, s.issuer.Fetched(), "it is asked, or it was not down")
		s.gone.Store(true)
		pass(time.Hour)
		require.Equal(t, 204, push(t, e, s.issuer.Key()), "an answer that does not come is waited for, and not for ever")
		began := time.Now()
		for range 50 {
			require.Equal(t, 204, push(t, e, s.issuer.Key()))
		}
		require.Zero(t, time.Since(began), "only one push an interval waits")
		was := h.count()
		pass(12 * time.Hour)
		require.Equal(t, 503, push(t, e, s.issuer.Key()), "keys of more than a day ago prove nothing")
		require.Equal(t, was, h.count())
		s.gone.Store(false)
		s.issuer.SetDown(false)
		pass(time.Second)
		require.Equal(t, 204, push(t, e, s.issuer.Key()), "it recovers by itself")
	})
}

func TestWithoutAnyKeyItCannotBeTold(t *testing.T) {
	s := newKeyServer(t)
	s.issuer.SetDown(true)
	synctest.Test(t, func(t *testing.T) {
		e, h := verified(t, s)
		require.Equal(t, 503, push(t, e, s.issuer.Key()), "a token that cannot be judged is not the sender's fault")
		require.Equal(t, 503, push(t, e, s.issuer.Key()))
		require.Equal(t, 1, s.issuer.Fetched())
		require.Zero(t, h.count())
		s.issuer.SetDown(false)
		pass(time.Second)
		require.Equal(t, 204, push(t, e, s.issuer.Key()), "a first fetch that failed must not cost an interval")
	})
}

func TestManyPushesFetchTheKeysOnce(t *testing.T) {
	s := newKeyServer(t)
	e, h := verified(t, s)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { push(t, e, s.issuer.Key()) })
	}
	wg.Wait()
	require.Equal(t, 30, h.count())
	require.Equal(t, 1, s.issuer.Fetched())
}

type answers func() (*http.Response, error)

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return a() }

func TestKeySetsThatAreNone(t *testing.T) {
	issuer := newIssuer(t)
	body := func(s string) answers {
		return func() (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s))}, nil
		}
	}
	secret := `{"keys":[{"kty":"oct","kid":"key-1","k":"c2VzYW1lc2VzYW1lc2VzYW1lc2VzYW1lc2VzYW1lMTI","alg":"HS256"}]}`
	for name, a := range map[string]answers{
		"no connection":     func() (*http.Response, error) { return nil, errors.New("refused") },
		"not JSON":          body("<html>"),
		"no keys":           body(`{"keys":[]}`),
		"a list":            body(`[]`),
		"a symmetric key":   body(secret),
		"broken keys":       body(`{"keys":[{},{"kty":"RSA","kid":"key-1","n":"","e":""},7]}`),
		"a weak key":        body(`{"keys":[{"kty":"RSA","kid":"key-1","n":"t6Q8PWSi1dkJj9hTP8hNYFlvadM7DflW9mWepOJhJ66w7nyoK1gPNqFMSQRyO125Gp-TEkodhWr0iujjHVx7BcV0llS4w5ACGgPrcAd6ZcSR0-Iqom-QFcNP8Sjg086MwoqQU_LYywlAGZ21WSdS_PERyGFiNnj3QQlO8Yns5jCtLCRwLHL0Pb1fEv45AuRIuUfVcPySBWYnDyGxvjYGDSM-AqWS9zIQ2ZilgT-GqUmipg0XOC0Cc20rgLe2ymLHjpHciCKVAbY5","e":"AQAB"}]}`),
		"one without end":   body(strings.Repeat(" ", 2<<20)),
		"an encryption key": body(`{"keys":[{"kty":"EC","use":"enc","kid":"key-1","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`),
	} {
		e, err := pubsubpush.New(&recorder{}, &pubsubpush.Config{
			Audiences: []string{audience}, Emails: []string{email}, KeysURL: "http://keys.invalid", KeysClient: &http.Client{Transport: a},
		})
		require.NoError(t, err)
		require.Equal(t, 503, push(t, e, issuer.Key()), name)
	}
}
