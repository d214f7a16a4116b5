package pubsubpush_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// with is a token's claims with some changed; nil takes one away.
func with(change map[string]any) map[string]any {
	c := pushtest.Claims(audience, email)
	for k, v := range change {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

func newKey(t testing.TB, id string, alg jose.SignatureAlgorithm) pushtest.Key {
	t.Helper()
	k, err := pushtest.NewKey(id, alg)
	require.NoError(t, err)
	return k
}

func sign(t testing.TB, k pushtest.Key, claims any) string {
	t.Helper()
	s, err := k.Sign(claims)
	require.NoError(t, err)
	return s
}

// raw puts a token together by hand, signed as sign does.
func raw(t testing.TB, header, claims map[string]any, sign func(input []byte) []byte) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func signedRaw(t testing.TB, k pushtest.Key, header, claims map[string]any) string {
	t.Helper()
	return raw(t, header, claims, func(input []byte) []byte {
		digest := sha256.Sum256(input)
		sig, err := rsa.SignPKCS1v15(nil, k.Private.(*rsa.PrivateKey), 5, digest[:]) // 5 is crypto.SHA256
		require.NoError(t, err)
		return sig
	})
}

func TestForgedExpiredAndForeignTokensAreRefused(t *testing.T) {
	issuer := newIssuer(t)
	good := issuer.Key()
	rotatedAway := good
	other := newKey(t, "key-9", jose.RS256)
	current, elliptic := newKey(t, "key-2", jose.RS256), newKey(t, "key-3", jose.ES256)

	h := &recorder{}
	e, err := pubsubpush.New(h, &pubsubpush.Config{
		Audiences: []string{audience}, Emails: []string{email}, KeysURL: issuer.URL(), KeysInterval: time.Hour,
	})
	require.NoError(t, err)
	issuer.SetKeys(current, elliptic)
	k := current
	header := func(change map[string]any) map[string]any {
		m := map[string]any{"alg": "RS256", "kid": k.ID, "typ": "JWT"}
		maps.Copy(m, change)
		return m
	}
	now := time.Now()
	pub := k.Public()
	der, err := x509.MarshalPKIXPublicKey(pub.Key)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := func(secret []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			m := hmac.New(sha256.New, secret)
			m.Write(input)
			return m.Sum(nil)
		}
	}
	nothing := func([]byte) []byte { return nil }
	sound := sign(t, k, with(nil))
	parts := strings.Split(sound, ".")
	foreign := other.Public()
	foreignJWK, err := foreign.MarshalJSON()
	require.NoError(t, err)
	withID := other
	withID.ID = k.ID

	cases := []struct {
		name   string
		status int
		auth   []string // values of the Authorization header
	}{
		{"no header", 401, nil},
		{"empty header", 401, []string{""}},
		{"bearer without a token", 401, []string{"Bearer"}},
		{"empty bearer token", 401, []string{"Bearer "}},
		{"basic authentication", 401, []string{"Basic cHVzaGVyOnNlc2FtZQ=="}},
		{"token without a scheme", 401, []string{sound}},
		{"two headers, both sound", 401, []string{"Bearer " + sound, "Bearer " + sound}},
		{"two headers, one sound", 401, []string{"Basic cHVzaA==", "Bearer " + sound}},
		{"two tokens in one header", 401, []string{"Bearer " + sound + ", Bearer " + sound}},
		{"not a token", 401, []string{"Bearer sesame"}},
		{"token that is too long", 401, []string{"Bearer " + strings.Repeat("a", 9000)}},
		{"truncated signature", 401, []string{"Bearer " + sound[:len(sound)-4]}},
		{"no signature", 401, []string{"Bearer " + parts[0] + "." + parts[1] + "."}},
		{"signature cut off", 401, []string{"Bearer " + parts[0] + "." + parts[1]}},
		{"signature taken off by a proxy", 401, []string{"Bearer " + parts[0] + "." + parts[1] + ".SIGNATURE_REMOVED_BY_GOOGLE"}},
		{"a dot too many", 401, []string{"Bearer " + sound + "."}},
		{"extra dots", 401, []string{"Bearer " + parts[0] + "..." + parts[1] + "." + parts[2]}},
		{"encrypted form", 401, []string{"Bearer " + sound + ".a.b"}},
		{"JSON serialization", 401, []string{`Bearer {"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`}},
		{"tampered payload", 401, []string{"Bearer " + parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"`+email+`"}`)) + "." + parts[2]}},
		{"signature of another token", 401, []string{"Bearer " + strings.Join([]string{parts[0], parts[1], strings.Split(sign(t, k, with(map[string]any{"sub": "2"})), ".")[2]}, ".")}},
		{"wrong key under a known ID", 401, []string{"Bearer " + sign(t, withID, with(nil))}},
		{"unknown key ID", 401, []string{"Bearer " + sign(t, other, with(nil))}},
		{"key that was rotated away", 401, []string{"Bearer " + sign(t, rotatedAway, with(nil))}},
		{"no key ID", 401, []string{"Bearer " + signedRaw(t, k, map[string]any{"alg": "RS256"}, with(nil))}},
		{"algorithm none", 401, []string{"Bearer " + raw(t, header(map[string]any{"alg": "none"}), with(nil), nothing)}},
		{"algorithm None, by case", 401, []string{"Bearer " + raw(t, header(map[string]any{"alg": "nOnE"}), with(nil), nothing)}},
		{"no algorithm", 401, []string{"Bearer " + signedRaw(t, k, map[string]any{"kid": k.ID}, with(nil))}},
		{"HS256 with the public key as the secret, PEM", 401, []string{"Bearer " + raw(t, header(map[string]any{"alg": "HS256"}), with(nil), hs256(publicPEM))}},
		{"HS256 with the public key as the secret, DER", 401, []string{"Bearer " + raw(t, header(map[string]any{"alg": "HS256"}), with(nil), hs256(der))}},
		{"RS256 signature said to be RS512", 401, []string{"Bearer " + signedRaw(t, k, header(map[string]any{"alg": "RS512"}), with(nil))}},
		{"RSA key said to be ES256", 401, []string{"Bearer " + signedRaw(t, k, header(map[string]any{"alg": "ES256"}), with(nil))}},
		{"RS256 under the ID of the elliptic key", 401, []string{"Bearer " + signedRaw(t, k, header(map[string]any{"kid": elliptic.ID}), with(nil))}},
		{"key in the header", 401, []string{"Bearer " + signedRaw(t, other, header(map[string]any{"jwk": json.RawMessage(foreignJWK)}), with(nil))}},
		{"address of keys in the header", 401, []string{"Bearer " + signedRaw(t, other, header(map[string]any{"jku": issuer.URL()}), with(nil))}},
		{"certificate in the header", 401, []string{"Bearer " + signedRaw(t, other, header(map[string]any{"x5u": issuer.URL()}), with(nil))}},
		{"critical extension that is unknown", 401, []string{"Bearer " + signedRaw(t, k, header(map[string]any{"crit": []string{"x"}, "x": 1}), with(nil))}},
		{"another issuer", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"iss": "https://accounts.example.com"}))}},
		{"issuer with a slash", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"iss": pushtest.Google + "/"}))}},
		{"no issuer", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"iss": nil}))}},
		{"another audience", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"aud": "https://other.example.com"}))}},
		{"audience with a prefix of ours", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"aud": audience + ".evil.example"}))}},
		{"no audience", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"aud": nil}))}},
		{"empty list of audiences", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"aud": []string{}}))}},
		{"another audience besides", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"aud": []string{audience, "https://other.example.com"}}))}},
		{"no e-mail", 403, []string{"Bearer " + sign(t, k, with(map[string]any{"email": nil}))}},
		{"e-mail not verified", 403, []string{"Bearer " + sign(t, k, with(map[string]any{"email_verified": false}))}},
		{"verification not told", 403, []string{"Bearer " + sign(t, k, with(map[string]any{"email_verified": nil}))}},
		{"verification that is a string", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"email_verified": "true"}))}},
		{"foreign e-mail", 403, []string{"Bearer " + sign(t, k, with(map[string]any{"email": "mallory@other.iam.gserviceaccount.com"}))}},
		{"expired", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}))}},
		{"no expiry", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"exp": nil}))}},
		{"expiry that is no number", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"exp": "never"}))}},
		{"not valid yet", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"nbf": now.Add(3 * time.Minute).Unix()}))}},
		{"issued in the future", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"iat": now.Add(3 * time.Minute).Unix()}))}},
		{"no time of issue", 401, []string{"Bearer " + sign(t, k, with(map[string]any{"iat": nil}))}},
	}
	require.GreaterOrEqual(t, len(cases), 20)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			for _, v := range c.auth {
				header = append(header, "Authorization", v)
			}
			w := post(e, hello, header...)
			require.Equal(t, c.status, w.Code)
			require.Empty(t, w.Body.String(), "whoever asks must not be told why")
			if w.Code == http.StatusUnauthorized {
				require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
			}
			require.Zero(t, h.count(), "the handler was called")
		})
	}
	require.Equal(t, uint64(len(cases)), e.Stats().Refused)
	require.Equal(t, 1, issuer.Fetched(), "unknown keys must not have the keys fetched again within the interval")

	// The same with nothing wrong is accepted, or the refusals prove nothing.
	for name, token := range map[string]string{
		"as Google signs":          sound,
		"by hand":                  signedRaw(t, k, header(nil), with(nil)),
		"ES256":                    sign(t, elliptic, with(nil)),
		"issuer without a scheme":  sign(t, k, with(map[string]any{"iss": "accounts.google.com"})),
		"list of one audience":     sign(t, k, with(map[string]any{"aud": []string{audience}})),
		"expired within the skew":  sign(t, k, with(map[string]any{"exp": now.Add(-20 * time.Second).Unix()})),
		"not yet, within the skew": sign(t, k, with(map[string]any{"nbf": now.Add(30 * time.Second).Unix(), "iat": now.Add(30 * time.Second).Unix()})),
	} {
		was := h.count()
		require.Equal(t, http.StatusNoContent, post(e, hello, "Authorization", "Bearer "+token).Code, name)
		require.Equal(t, was+1, h.count(), name)
	}
	require.Equal(t, http.StatusNoContent, post(e, hello, "authorization", "bearer "+sound).Code, "the scheme's case does not matter")
}

func TestVerificationIsOnUnlessItIsTurnedOff(t *testing.T) {
	for name, c := range map[string]*pubsubpush.Config{
		"no config":   nil,
		"no e-mail":   {Audiences: []string{audience}},
		"no audience": {Emails: []string{email}},
		"empty ones":  {Audiences: []string{""}, Emails: []string{""}},
		"both":        {Audiences: []string{audience}, Emails: []string{email}, Insecure: true},
	} {
		_, err := pubsubpush.New(&recorder{}, c)
		require.Error(t, err, name)
	}
	_, err := pubsubpush.New(nil, &pubsubpush.Config{Insecure: true})
	require.ErrorContains(t, err, "handler is nil")
	_, err = pubsubpush.New(&recorder{}, &pubsubpush.Config{
		Insecure: true, Format: 9, KeysInterval: -1, ClockSkew: time.Hour, Timeout: 601 * time.Second, Concurrency: -1,
		MaxMessageBytes: -1, Observers: []handlerObserver{nil},
	})
	for _, fault := range []string{"Format", "KeysInterval", "ClockSkew", "Timeout", "Concurrency", "MaxMessageBytes", "Observers[0]"} {
		require.ErrorContains(t, err, fault)
	}
	require.Equal(t, http.StatusNoContent, post(insecure(t, &recorder{}, pubsubpush.Config{}), hello).Code)
}
