package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler/webhook"
)

// The vector that the specification's own libraries are tested with
// (github.com/standard-webhooks/standard-webhooks, "sign function works").
// tolerance is the default of VerifierConfig.Tolerance.
const tolerance = 5 * time.Minute

const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorStamp     = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var (
	then    = time.Unix(vectorStamp, 0)
	another = "whsec_" + base64.StdEncoding.EncodeToString([]byte("another-another-another-another!"))
	foreign = "whsec_" + base64.StdEncoding.EncodeToString([]byte("foreign-foreign-foreign-foreign!"))
)

func verifier(t testing.TB, now time.Time, secrets ...string) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(secrets, &webhook.VerifierConfig{Now: func() time.Time { return now }})
	require.NoError(t, err)
	return v
}

func signed(t testing.TB, secrets ...string) http.Header {
	t.Helper()
	s, err := webhook.NewSigner(secrets...)
	require.NoError(t, err)
	h := http.Header{}
	require.NoError(t, s.Sign(h, vectorID, then, []byte(vectorBody)))
	return h
}

func TestThePublishedVector(t *testing.T) {
	for _, secret := range []string{vectorSecret, strings.TrimPrefix(vectorSecret, "whsec_")} {
		h := signed(t, secret)
		require.Equal(t, http.Header{
			"Webhook-Id": {vectorID}, "Webhook-Timestamp": {"1614265330"}, "Webhook-Signature": {vectorSignature},
		}, h)
		id, err := verifier(t, then, secret).Verify(h, []byte(vectorBody))
		require.NoError(t, err)
		require.Equal(t, vectorID, id)
	}
}

// The vector of the specification's Go library for v1a ("TestAsymmetricWebhookSign"),
// whose key is the seed "TESTSIGNINGKEYDONOTUSETHISFORANY".
const (
	vectorSeed     = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
	vectorEd25519  = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
	foreignEd25519 = "whpk_Zm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tZm9yZWlnbiE="
)

func publicKey(t testing.TB) string {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(vectorSeed, "whsk_"))
	require.NoError(t, err)
	public, ok := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	require.True(t, ok)
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

func TestThePublishedVectorOfEd25519(t *testing.T) {
	h := signed(t, vectorSeed)
	require.Equal(t, vectorEd25519, h.Get(webhook.HeaderSignature))
	for _, secrets := range [][]string{{publicKey(t)}, {foreignEd25519, publicKey(t)}, {vectorSecret, publicKey(t)}} {
		id, err := verifier(t, then, secrets...).Verify(h, []byte(vectorBody))
		require.NoError(t, err)
		require.Equal(t, vectorID, id)
		_, err = verifier(t, then, secrets...).Verify(h, []byte(vectorBody+" "))
		require.ErrorIs(t, err, webhook.ErrSignature)
	}
	for secret, says := range map[string]string{
		foreignEd25519: "it does not match", vectorSecret: "no signature of version 1",
	} {
		_, err := verifier(t, then, secret).Verify(h, []byte(vectorBody))
		require.ErrorContains(t, err, says)
	}
	_, err := verifier(t, then, publicKey(t)).Verify(signed(t, vectorSecret), []byte(vectorBody))
	require.ErrorContains(t, err, "no signature of version 1a")
	_, err = verifier(t, then, vectorSecret, publicKey(t)).Verify(signed(t, vectorSecret, vectorSeed), []byte(vectorBody))
	require.NoError(t, err)
}

// A public key can't sign, and a private key has no place with a receiver.
func TestKeysOfTheOtherSide(t *testing.T) {
	_, err := webhook.NewSigner(publicKey(t))
	require.ErrorContains(t, err, "secret 1 of 1 is a public key")
	_, err = webhook.NewVerifier([]string{vectorSecret, vectorSeed}, nil)
	require.ErrorContains(t, err, "secret 2 of 2 is a private key")
	_, err = webhook.NewVerifier([]string{"whpk_c2hvcnQ="}, nil)
	require.EqualError(t, err, "webhook: secret 1 of 1 is not whpk_ and the base64 of 32 bytes")
}

func TestSecretsAreRotated(t *testing.T) {
	both := signed(t, vectorSecret, another)
	require.Len(t, strings.Fields(both.Get(webhook.HeaderSignature)), 2)
	for _, c := range []struct {
		header  http.Header
		secrets []string
	}{
		{both, []string{vectorSecret}},
		{both, []string{another}},
		{both, []string{foreign, another}},
		{signed(t, vectorSecret), []string{another, vectorSecret}},
		{signed(t, another), []string{another, vectorSecret}},
	} {
		_, err := verifier(t, then, c.secrets...).Verify(c.header, []byte(vectorBody))
		require.NoError(t, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	del := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }
	twice := func(name string) func(http.Header) { return func(h http.Header) { h.Add(name, h.Get(name)) } }
	for _, c := range []struct {
		name    string
		change  func(http.Header)
		now     time.Time
		body    string
		secrets []string
		says    string
	}{
		{name: "a foreign secret", secrets: []string{foreign, another}, says: "does not match"},
		{name: "another body", body: vectorBody + "\n", says: "does not match"},
		{name: "no body", body: " ", says: "does not match"},
		{name: "another ID", change: set(webhook.HeaderID, "msg_2"), says: "does not match"},
		{name: "another timestamp", change: set(webhook.HeaderTimestamp, "1614265331"), says: "does not match"},
		{name: "the timestamp in another spelling", change: set(webhook.HeaderTimestamp, "+1614265330"), says: "does not match"},
		{name: "no ID", change: del(webhook.HeaderID), says: "webhook-id is missing"},
		{name: "no timestamp", change: del(webhook.HeaderTimestamp), says: "webhook-timestamp is missing"},
		{name: "no signature", change: del(webhook.HeaderSignature), says: "no signature of version 1"},
		{name: "an empty ID", change: set(webhook.HeaderID, ""), says: "webhook-id is missing"},
		{name: "two IDs", change: twice(webhook.HeaderID), says: "2 times"},
		{name: "two timestamps", change: twice(webhook.HeaderTimestamp), says: "2 times"},
		{name: "an ID with a full stop", change: func(h http.Header) {
			h.Set(webhook.HeaderID, "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330")
		}, says: "malformed ID"},
		{name: "an ID with a line feed", change: set(webhook.HeaderID, "a\nb"), says: "malformed ID"},
		{name: "a long ID", change: set(webhook.HeaderID, strings.Repeat("x", 257)), says: "malformed ID"},
		{name: "a timestamp that is none", change: set(webhook.HeaderTimestamp, "noon"), says: "malformed timestamp"},
		{name: "a timestamp with a fraction", change: set(webhook.HeaderTimestamp, "1614265330.5"), says: "malformed timestamp"},
		{name: "a timestamp beyond numbers", change: set(webhook.HeaderTimestamp, "99999999999999999999"), says: "malformed timestamp"},
		{name: "the largest timestamp", change: set(webhook.HeaderTimestamp, "9223372036854775807"), says: "off"},
		{name: "the smallest timestamp", change: set(webhook.HeaderTimestamp, "-9223372036854775808"), says: "off"},
		{name: "too old", now: then.Add(tolerance + time.Second), says: "5m1s off"},
		{name: "from the future", now: then.Add(-tolerance - time.Second), says: "-5m1s off"},
		{name: "no base64", change: set(webhook.HeaderSignature, "v1,***"), says: "no signature of version 1"},
		{name: "an empty signature", change: set(webhook.HeaderSignature, "v1,"), says: "no signature of version 1"},
		{name: "another version", change: set(webhook.HeaderSignature, "v1a"+strings.TrimPrefix(vectorSignature, "v1")), says: "no signature of version 1"},
		{name: "no version", change: set(webhook.HeaderSignature, strings.TrimPrefix(vectorSignature, "v1,")), says: "no signature of version 1"},
		{name: "cut short", change: set(webhook.HeaderSignature, "v1,g0hM9SsE+OTPJTGt"), says: "no signature of version 1"},
		{name: "after very many others", change: func(h http.Header) {
			h.Set(webhook.HeaderSignature, strings.Repeat("v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ", 32)+vectorSignature)
		}, says: "does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := signed(t, vectorSecret)
			if c.change != nil {
				c.change(h)
			}
			if c.now.IsZero() {
				c.now = then
			}
			if c.body == "" {
				c.body = vectorBody
			}
			if c.secrets == nil {
				c.secrets = []string{vectorSecret}
			}
			id, err := verifier(t, c.now, c.secrets...).Verify(h, []byte(c.body))
			require.ErrorIs(t, err, webhook.ErrSignature)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, id)
			require.NotContains(t, err.Error(), strings.TrimPrefix(vectorSignature, "v1,"))
		})
	}
}

func TestWhatIsTaken(t *testing.T) {
	for _, at := range []time.Time{then.Add(tolerance), then.Add(-tolerance)} {
		_, err := verifier(t, at, vectorSecret).Verify(signed(t, vectorSecret), []byte(vectorBody))
		require.NoError(t, err)
	}
	h := signed(t, vectorSecret)
	h.Set(webhook.HeaderSignature, "v2,xyz  v1,AAAA v1a,"+vectorSignature[3:]+" "+vectorSignature)
	_, err := verifier(t, then, vectorSecret).Verify(h, []byte(vectorBody))
	require.NoError(t, err)

	strict, err := webhook.NewVerifier([]string{vectorSecret}, &webhook.VerifierConfig{Tolerance: time.Second, Now: func() time.Time { return then.Add(2 * time.Second) }})
	require.NoError(t, err)
	_, err = strict.Verify(h, []byte(vectorBody))
	require.ErrorContains(t, err, "2s off")
}

// Headers that did not come through net/http have names in any case.
func TestHeaderNamesCountInAnyCase(t *testing.T) {
	for _, spell := range []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return s }} {
		h := http.Header{}
		for name, values := range signed(t, vectorSecret) {
			h[spell(name)] = values
		}
		id, err := verifier(t, then, vectorSecret).Verify(h, []byte(vectorBody))
		require.NoError(t, err)
		require.Equal(t, vectorID, id)

		h["WEBHOOK-id"] = []string{"another"}
		_, err = verifier(t, then, vectorSecret).Verify(h, []byte(vectorBody))
		require.ErrorContains(t, err, "occurs 2 times")
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(make([]byte, 65))
	for _, s := range [][]string{nil, {""}, {"whsec_"}, {"whsec_c2hvcnQ="}, {"not base64!"}, {vectorSecret, "c2hvcnQ="}, {long}} {
		_, err := webhook.NewVerifier(s, nil)
		require.Error(t, err)
		_, signing := webhook.NewSigner(s...)
		require.EqualError(t, signing, err.Error())
		require.NotContains(t, err.Error(), "c2hvcnQ")
		require.NotContains(t, err.Error(), "not base64!")
	}
	_, err := webhook.NewVerifier([]string{vectorSecret}, &webhook.VerifierConfig{Tolerance: -1})
	require.ErrorContains(t, err, "Tolerance is -1ns: it must not be negative")
}

func TestIDsThatAreRefused(t *testing.T) {
	s, err := webhook.NewSigner(vectorSecret)
	require.NoError(t, err)
	for _, id := range []string{"", "a.b", "a b", "a\n", "é", strings.Repeat("x", 257)} {
		h := http.Header{}
		require.ErrorContains(t, s.Sign(h, id, then, nil), "the ID ")
		require.Empty(t, h)
	}
	require.NoError(t, s.Sign(http.Header{}, strings.Repeat("x", 256), then, nil))
}

func FuzzVerify(f *testing.F) {
	v := verifier(f, then, vectorSecret, publicKey(f))
	f.Add(vectorID, "1614265330", vectorSignature, []byte(vectorBody))
	f.Add("", "", "", []byte(nil))
	f.Add(vectorID, "1614265330", vectorEd25519, []byte(vectorBody))
	f.Add("a.b", "-1", "v1, v1,= v2,x", []byte{0xff})
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		got, err := v.Verify(h, body)
		if err != nil {
			require.ErrorIs(t, err, webhook.ErrSignature)
			require.Empty(t, got)
			return
		}
		// Only the vector is known to be right.
		require.Equal(t, vectorID, id)
		require.Equal(t, vectorBody, string(body))
		require.True(t, strings.Contains(signature, vectorSignature) || strings.Contains(signature, vectorEd25519))
	})
}
