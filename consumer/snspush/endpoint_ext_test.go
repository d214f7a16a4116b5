package snspush_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/snspush"
	"github.com/sluice-go/sluice/handler"
)

const topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"

// amazon is an SNS on the loopback interface: it signs, and serves certificates
// and confirmations.
type amazon struct {
	t         testing.TB
	server    *httptest.Server
	key       *rsa.PrivateKey
	roots     *x509.CertPool
	fetches   atomic.Int64
	confirmed atomic.Int64
	files     map[string][]byte
}

func newAmazon(t testing.TB) *amazon {
	t.Helper()
	a := &amazon{t: t, roots: x509.NewCertPool(), files: map[string][]byte{}}
	rootKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a.roots.AddCert(parsed)
	add := func(file, name string, until time.Time, parent *x509.Certificate, by *rsa.PrivateKey) {
		c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &a.key.PublicKey, by)
		require.NoError(t, err)
		a.files[file] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	add("/good.pem", "sns.amazonaws.com", time.Now().Add(time.Hour), root, rootKey)
	add("/expired.pem", "sns.amazonaws.com", time.Now().Add(-time.Hour), root, rootKey)
	add("/name.pem", "evil.example.com", time.Now().Add(time.Hour), root, rootKey)
	add("/self.pem", "sns.amazonaws.com", time.Now().Add(time.Hour), nil, a.key)
	a.files["/page.pem"] = []byte("<html>Bad gateway</html>")
	a.files["/empty.pem"] = nil
	good := a.files["/good.pem"]
	a.files["/cut.pem"] = good[:len(good)/2]
	a.files["/cut chain.pem"] = append(good[:len(good):len(good)], good[:len(good)/2]...)
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch body, ok := a.files[r.URL.Path]; {
		case ok:
			a.fetches.Add(1)
			_, _ = w.Write(body)
		case r.URL.Path == "/confirm":
			a.confirmed.Add(1)
		case r.URL.Path == "/redirect.pem":
			http.Redirect(w, r, "/good.pem", http.StatusFound)
		default:
			http.Error(w, "no", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(a.server.Close)
	return a
}

// unasked is the handler of requests that reach none.
var unasked = handler.HandlerFunc(func(context.Context, *handler.Message) error { return errors.New("the handler was called") })

func (a *amazon) endpoint(h handler.Handler, f func(*snspush.Config)) *snspush.Endpoint {
	a.t.Helper()
	host := strings.TrimPrefix(a.server.URL, "https://")
	c := &snspush.Config{Client: a.server.Client(), Roots: a.roots, Host: func(h string) bool { return h == host }}
	if f != nil {
		f(c)
	}
	e, err := snspush.New(h, []string{topic}, c)
	require.NoError(a.t, err)
	return e
}

func (a *amazon) document(typ string) map[string]any {
	d := map[string]any{
		"Type": typ, "MessageId": "m1", "TopicArn": topic, "Message": "Hello\nworld", "Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"SignatureVersion": "2", "SigningCertURL": a.server.URL + "/good.pem",
	}
	if typ == "Notification" {
		d["Subject"] = "S"
	} else {
		d["Token"], d["SubscribeURL"] = "token", a.server.URL+"/confirm"
	}
	return d
}

func (a *amazon) sign(d map[string]any) map[string]any {
	text := ""
	names := []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	for _, n := range names {
		if v, ok := d[n].(string); ok {
			text += n + "\n" + v + "\n"
		}
	}
	var (
		hash   crypto.Hash
		digest []byte
	)
	if d["SignatureVersion"] == "1" {
		sum := sha1.Sum([]byte(text))
		hash, digest = crypto.SHA1, sum[:]
	} else {
		sum := sha256.Sum256([]byte(text))
		hash, digest = crypto.SHA256, sum[:]
	}
	s, err := rsa.SignPKCS1v15(rand.Reader, a.key, hash, digest)
	require.NoError(a.t, err)
	d["Signature"] = base64.StdEncoding.EncodeToString(s)
	return d
}

func post(t testing.TB, e http.Handler, d map[string]any) int {
	t.Helper()
	body, err := json.Marshal(d)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body)))
	return w.Code
}

func TestEndpointTakesWhatSNSSigns(t *testing.T) {
	a := newAmazon(t)
	calls := 0
	e := a.endpoint(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		calls++
		require.Equal(t, "Hello\nworld", string(m.Body))
		require.Equal(t, "m1", m.ID)
		require.Equal(t, "S", m.Attribute("sns-subject"))
		require.Equal(t, topic, m.Origin().Queue)
		return nil
	}), func(c *snspush.Config) { c.AllowSHA1 = true })
	require.Equal(t, 200, post(t, e, a.sign(a.document("Notification"))))
	old := a.document("Notification")
	old["SignatureVersion"] = "1"
	require.Equal(t, 200, post(t, e, a.sign(old)))
	require.Equal(t, 2, calls)
	require.EqualValues(t, 1, a.fetches.Load(), "the certificate is kept")
	require.Equal(t, 200, post(t, e, a.sign(a.document("SubscriptionConfirmation"))))
	require.EqualValues(t, 1, a.confirmed.Load())
	require.Equal(t, 200, post(t, e, a.sign(a.document("UnsubscribeConfirmation"))))
	require.EqualValues(t, 1, a.confirmed.Load(), "an unsubscription is not undone")
	manual := a.endpoint(unasked, func(c *snspush.Config) { c.ManualConfirm = true })
	require.Equal(t, 200, post(t, manual, a.sign(a.document("SubscriptionConfirmation"))))
	require.EqualValues(t, 1, a.confirmed.Load())
	require.Equal(t, 2, calls)
}

func TestVerdictsBecomeStatuses(t *testing.T) {
	a := newAmazon(t)
	boom := errors.New("boom")
	letters := 0
	take := func(c *snspush.Config) {
		c.DeadLetter = func(context.Context, *handler.Message, error) error { letters++; return nil }
	}
	fail := func(c *snspush.Config) {
		c.DeadLetter = func(context.Context, *handler.Message, error) error { return boom }
	}
	for _, c := range []struct {
		err    error
		config func(*snspush.Config)
		status int
	}{
		{nil, nil, 200}, {handler.Drop(boom), nil, 200}, {boom, nil, 503}, {handler.RetryAfter(time.Second, boom), nil, 503},
		{handler.Reject(boom), nil, 500}, {handler.Reject(boom), take, 200}, {handler.Reject(boom), fail, 503},
	} {
		e := a.endpoint(handler.HandlerFunc(func(context.Context, *handler.Message) error { return c.err }), c.config)
		require.Equal(t, c.status, post(t, e, a.sign(a.document("Notification"))), "%v", c.err)
	}
	require.Equal(t, 1, letters)
	e := a.endpoint(handler.HandlerFunc(func(context.Context, *handler.Message) error { panic(boom) }), nil)
	require.Equal(t, 503, post(t, e, a.sign(a.document("Notification"))))
}

func TestForgeriesAreRefused(t *testing.T) {
	a := newAmazon(t)
	e := a.endpoint(handler.HandlerFunc(func(context.Context, *handler.Message) error {
		t.Error("the handler was called")
		return nil
	}), nil)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	set := func(name string, v any) func(map[string]any) { return func(d map[string]any) { d[name] = v } }
	for _, c := range []struct {
		name          string
		before, after func(map[string]any)
		status        int
	}{
		{"changed message", nil, set("Message", "forged"), 403},
		{"changed subject", nil, set("Subject", "forged"), 403},
		{"no subject", nil, func(d map[string]any) { delete(d, "Subject") }, 403},
		{"changed id", nil, set("MessageId", "m2"), 403},
		{"changed timestamp", nil, set("Timestamp", time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)), 403},
		{"another type", nil, set("Type", "SubscriptionConfirmation"), 403},
		{"a type that is none", set("Type", "Order"), nil, 403},
		{"foreign topic, well signed", set("TopicArn", topic+"2"), nil, 403},
		{"topic changed to a declared one", set("TopicArn", topic+"2"), set("TopicArn", topic), 403},
		{"no signature", nil, set("Signature", ""), 403},
		{"signature that is none", nil, set("Signature", "!!"), 403},
		{"another's signature", nil, func(d map[string]any) {
			d["Signature"] = (&amazon{t: t, key: other}).sign(maps.Clone(d))["Signature"]
		}, 403},
		{"SHA1", set("SignatureVersion", "1"), nil, 403},
		{"version 3", nil, set("SignatureVersion", "3"), 403},
		{"no version", nil, set("SignatureVersion", ""), 403},
		{"replayed", set("Timestamp", time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339)), nil, 403},
		{"from the future", set("Timestamp", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), nil, 403},
		{"no timestamp", set("Timestamp", ""), nil, 403},
		{"certificate by http", nil, set("SigningCertURL", strings.Replace(a.server.URL, "https", "http", 1)+"/good.pem"), 403},
		{"certificate from elsewhere", nil, set("SigningCertURL", "https://evil.example.com/good.pem"), 403},
		{"certificate with a user", nil, set("SigningCertURL", strings.Replace(a.server.URL, "https://", "https://sns.us-east-1.amazonaws.com@", 1)+"/good.pem"), 403},
		{"certificate that is no pem", nil, set("SigningCertURL", a.server.URL+"/confirm"), 403},
		{"certificate by a query", nil, set("SigningCertURL", a.server.URL+"/good.pem?x"), 403},
		{"expired certificate", nil, set("SigningCertURL", a.server.URL+"/expired.pem"), 403},
		{"certificate of another name", nil, set("SigningCertURL", a.server.URL+"/name.pem"), 403},
		{"self-signed certificate", nil, set("SigningCertURL", a.server.URL+"/self.pem"), 403},
		{"a page for a certificate", nil, set("SigningCertURL", a.server.URL+"/page.pem"), 503},
		{"nothing for a certificate", nil, set("SigningCertURL", a.server.URL+"/empty.pem"), 503},
		{"certificate that is cut off", nil, set("SigningCertURL", a.server.URL+"/cut.pem"), 503},
		{"chain that is cut off", nil, set("SigningCertURL", a.server.URL+"/cut%20chain.pem"), 503},
		{"redirected certificate", nil, set("SigningCertURL", a.server.URL+"/redirect.pem"), 503},
		{"certificate out of reach", nil, set("SigningCertURL", a.server.URL+"/down.pem"), 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := a.document("Notification")
			if c.before != nil {
				c.before(d)
			}
			a.sign(d)
			if c.after != nil {
				c.after(d)
			}
			require.Equal(t, c.status, post(t, e, d))
		})
	}
	d := a.document("SubscriptionConfirmation")
	d["SubscribeURL"] = "https://evil.example.com/confirm"
	require.Equal(t, 403, post(t, e, a.sign(d)))
	d = a.sign(a.document("SubscriptionConfirmation"))
	d["Token"] = "forged"
	require.Equal(t, 403, post(t, e, d))
	require.Zero(t, a.confirmed.Load())
}

func TestEndpointRefusesWhatIsNoRequestOfSNS(t *testing.T) {
	a := newAmazon(t)
	e := a.endpoint(unasked, func(c *snspush.Config) { c.MaxBytes = 100 })
	for _, c := range []struct {
		method, body, raw string
		status            int
	}{
		{http.MethodGet, "", "", 405}, {http.MethodPost, "hello", "", 400}, {http.MethodPost, "{}", "true", 403}, {http.MethodPost, strings.Repeat(" ", 101), "", 413},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Sns-Rawdelivery", c.raw)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code)
	}
	_, err := snspush.New(nil, nil, &snspush.Config{MaxAge: -1, MaxBytes: -1})
	for _, says := range []string{"handler is nil", "no topic", "MaxAge", "MaxBytes"} {
		require.ErrorContains(t, err, says)
	}
}

// Whatever is posted, nothing that is unsigned reaches the handler.
func FuzzEndpoint(f *testing.F) {
	a := newAmazon(f)
	e := a.endpoint(handler.HandlerFunc(func(context.Context, *handler.Message) error {
		f.Error("the handler was called")
		return nil
	}), nil)
	d := a.sign(a.document("Notification"))
	d["Message"] = "forged"
	body, err := json.Marshal(d)
	require.NoError(f, err)
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body)))
		require.GreaterOrEqual(t, w.Code, 400)
	})
}
