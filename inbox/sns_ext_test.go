package inbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/internal/test/snstest"
)

func snsProvider(t testing.TB, a *snstest.Server, change func(*inbox.SNSConfig)) inbox.Provider {
	t.Helper()
	c := &inbox.SNSConfig{Client: a.Client(), Host: a.Is, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(c)
	}
	p, err := inbox.NewSNS([]string{snstest.Topic}, c)
	require.NoError(t, err)
	return p
}

// document returns a signed document with changes.
func document(t testing.TB, a *snstest.Server, kind string, change map[string]any) []byte {
	t.Helper()
	d := a.Document(kind)
	maps.Copy(d, change)
	body, err := json.Marshal(a.Sign(d))
	require.NoError(t, err)
	return body
}

func TestSNSNotificationsAreQueued(t *testing.T) {
	t.Parallel()
	a, q := snstest.Start(t), &queue{}
	in := newInbox(t, snsProvider(t, a, nil), q, nil)
	body := document(t, a, "Notification", nil)
	require.Equal(t, http.StatusAccepted, post(t, in, http.Header{"Content-Type": {"text/plain; charset=UTF-8"}}, body).Code)
	require.Len(t, q.sent, 1)
	require.Equal(t, body, q.sent[0].Body)
	require.Equal(t, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", q.sent[0].DedupeID)

	unwrap, err := envelope.SNS(snstest.Topic)
	require.NoError(t, err)
	var got string
	require.NoError(t, unwrap(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		got = string(m.Body)
		return nil
	})).Handle(t.Context(), q.sent[0]))
	require.Equal(t, "Hello\nworld!", got)

	changed := bytes.Replace(body, []byte("world!"), []byte("world?"), 1)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, changed).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{"X-Amz-Sns-Rawdelivery": {"true"}}, body).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, []byte("hello")).Code)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, document(t, a, "Notification", map[string]any{"Timestamp": "2012-05-02T00:54:06.655Z"})).Code)
	require.Len(t, q.sent, 1)
}

// A subscription is confirmed only for a declared topic, by a signed request, and at a
// host of SNS: a forger can't have this program send requests.
func TestSNSSubscriptionsAreConfirmedSafely(t *testing.T) {
	t.Parallel()
	a, q := snstest.Start(t), &queue{}
	in := newInbox(t, snsProvider(t, a, nil), q, nil)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a host that is not SNS's was asked") }))
	defer elsewhere.Close()
	for name, change := range map[string]map[string]any{
		"another topic":       {"TopicArn": "arn:aws:sns:us-west-2:123456789012:Other"},
		"another host":        {"SubscribeURL": elsewhere.URL + "/confirm"},
		"a certificate of it": {"SigningCertURL": elsewhere.URL + "/good.pem"},
		"http":                {"SubscribeURL": strings.Replace(a.URL, "https", "http", 1) + "/confirm"},
		"a metadata service":  {"SubscribeURL": "http://169.254.169.254/latest/meta-data"},
		"a user in the URL":   {"SubscribeURL": strings.Replace(a.URL, "https://", "https://sns.us-west-2.amazonaws.com@", 1) + "/confirm"},
	} {
		require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, document(t, a, "SubscriptionConfirmation", change)).Code, name)
	}
	require.Zero(t, a.Confirmed.Load())

	body := document(t, a, "SubscriptionConfirmation", nil)
	require.Equal(t, http.StatusUnauthorized, post(t, in, http.Header{}, bytes.Replace(body, []byte("2336412f"), []byte("3336412f"), 1)).Code)
	require.Equal(t, http.StatusOK, post(t, in, http.Header{}, body).Code)
	require.EqualValues(t, 1, a.Confirmed.Load())
	require.Equal(t, http.StatusOK, post(t, in, http.Header{}, document(t, a, "UnsubscribeConfirmation", nil)).Code)
	require.EqualValues(t, 1, a.Confirmed.Load())

	a.Down.Store(true)
	require.Equal(t, http.StatusServiceUnavailable, post(t, in, http.Header{}, body).Code)
	fresh := newInbox(t, snsProvider(t, a, nil), q, nil)
	require.Equal(t, http.StatusServiceUnavailable, post(t, fresh, http.Header{}, body).Code, "its certificate can't be fetched")
	a.Down.Store(false)

	manual := newInbox(t, snsProvider(t, a, func(c *inbox.SNSConfig) { c.ManualConfirm = true }), q, nil)
	require.Equal(t, http.StatusOK, post(t, manual, http.Header{}, body).Code)
	require.EqualValues(t, 1, a.Confirmed.Load())
	require.Empty(t, q.sent)
}
