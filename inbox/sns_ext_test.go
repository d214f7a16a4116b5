package inbox_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/inbox"
)

const topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"

// amazon is an SNS on the loopback interface: it signs, and serves its certificate and
// the confirmation of subscriptions.
type amazon struct {
	server    *httptest.Server
	key       *rsa.PrivateKey
	down      atomic.Bool
	confirmed atomic.Int64
}

func newAmazon(t testing.TB) *amazon {
	t.Helper()
	a := &amazon{}
	var err error
	a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns"}, DNSNames: []string{"sns.amazonaws.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.down.Load():
			http.Error(w, "down", http.StatusServiceUnavailable)
		case r.URL.Path == "/cert.pem":
			_, _ = w.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		case r.URL.Path == "/confirm":
			a.confirmed.Add(1)
		}
	}))
	t.Cleanup(a.server.Close)
	return a
}

func (a *amazon) provider(t testing.TB, change func(*inbox.SNSConfig)) inbox.Provider {
	t.Helper()
	host := strings.TrimPrefix(a.server.URL, "https://")
	c := &inbox.SNSConfig{Client: a.server.Client(), Host: func(h string) bool { return h == host }, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(c)
	}
	p, err := inbox.NewSNS([]string{topic}, c)
	require.NoError(t, err)
	return p
}

// document returns a document with the fields of the samples in AWS's "HTTP/HTTPS
// notification JSON format", signed. Their own signature is not a real one.
func (a *amazon) document(t testing.TB, kind string, change map[string]string) []byte {
	t.Helper()
	d := map[string]string{
		"Type": kind, "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic, "Message": "Hello world!",
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "2", "SigningCertURL": a.server.URL + "/cert.pem",
	}
	if kind == "Notification" {
		d["Subject"] = "My First Message"
	} else {
		d["Token"], d["SubscribeURL"] = "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92768dd60a747ba6f3beb71854e285d6ad02428b09ceece29417f1f02d609c582afbacc99c583a916b9981dd2728f4ae6fdb82efd087cc3b7849e05798d2d2785c03b0879594eeac82c01f235d0e717736", a.server.URL+"/confirm"
	}
	for name, value := range change {
		d[name] = value
	}
	text := ""
	for _, n := range []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
		if v, ok := d[n]; ok {
			text += n + "\n" + v + "\n"
		}
	}
	sum := sha256.Sum256([]byte(text))
	s, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	require.NoError(t, err)
	d["Signature"] = base64.StdEncoding.EncodeToString(s)
	body, err := json.Marshal(d)
	require.NoError(t, err)
	return body
}

func TestSNSNotificationsAreQueued(t *testing.T) {
	t.Parallel()
	a, q := newAmazon(t), &queue{}
	in := newInbox(t, a.provider(t, nil), q, nil)
	body := a.document(t, "Notification", nil)
	require.Equal(t, http.StatusAccepted, post(t, in, http.Header{"Content-Type": {"text/plain; charset=UTF-8"}}, body).Code)
	require.Len(t, q.sent, 1)
	require.Equal(t, body, q.sent[0].Body)
	require.Equal(t, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", q.sent[0].DedupeID)

	unwrap, err := envelope.SNS(topic)
	require.NoError(t, err)
	var got string
	require.NoError(t, unwrap(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		got = string(m.Body)
		return nil
	})).Handle(t.Context(), q.sent[0]))
	require.Equal(t, "Hello world!", got)

	changed := bytes.Replace(body, []byte("Hello world!"), []byte("Hello world?"), 1)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, changed).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{"X-Amz-Sns-Rawdelivery": {"true"}}, body).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, []byte("hello")).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, a.document(t, "Notification", map[string]string{"Timestamp": "2012-05-02T00:54:06.655Z"})).Code)
	require.Len(t, q.sent, 1)
}

// A subscription is confirmed only for a declared topic, by a signed request, and at a
// host of SNS: a forger can't have this program send requests.
func TestSNSSubscriptionsAreConfirmedSafely(t *testing.T) {
	t.Parallel()
	a, q := newAmazon(t), &queue{}
	in := newInbox(t, a.provider(t, nil), q, nil)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a host that is not SNS's was asked") }))
	defer elsewhere.Close()
	for name, change := range map[string]map[string]string{
		"another topic":       {"TopicArn": "arn:aws:sns:us-west-2:123456789012:Other"},
		"another host":        {"SubscribeURL": elsewhere.URL + "/confirm"},
		"a certificate of it": {"SigningCertURL": elsewhere.URL + "/cert.pem"},
		"http":                {"SubscribeURL": strings.Replace(a.server.URL, "https", "http", 1) + "/confirm"},
		"a metadata service":  {"SubscribeURL": "http://169.254.169.254/latest/meta-data"},
		"a user in the URL":   {"SubscribeURL": strings.Replace(a.server.URL, "https://", "https://sns.us-west-2.amazonaws.com@", 1) + "/confirm"},
	} {
		require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, a.document(t, "SubscriptionConfirmation", change)).Code, name)
	}
	require.Zero(t, a.confirmed.Load())

	body := a.document(t, "SubscriptionConfirmation", nil)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, bytes.Replace(body, []byte("2336412f"), []byte("3336412f"), 1)).Code)
	require.Equal(t, http.StatusOK, post(t, in, http.Header{}, body).Code)
	require.EqualValues(t, 1, a.confirmed.Load())
	require.Equal(t, http.StatusOK, post(t, in, http.Header{}, a.document(t, "UnsubscribeConfirmation", nil)).Code)
	require.EqualValues(t, 1, a.confirmed.Load())

	a.down.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, post(t, in, http.Header{}, body).Code)
	fresh := newInbox(t, a.provider(t, nil), q, nil)
	require.Equal(t, http.StatusServiceUnavailable, post(t, fresh, http.Header{}, body).Code, "its certificate can't be fetched")
	a.down.Store(false)

	manual := newInbox(t, a.provider(t, func(c *inbox.SNSConfig) { c.ManualConfirm = true }), q, nil)
	require.Equal(t, http.StatusOK, post(t, manual, http.Header{}, body).Code)
	require.EqualValues(t, 1, a.confirmed.Load())
	require.Empty(t, q.sent)
}
