package snspush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/snspush"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/snstest"
)

// unasked is the handler of requests that reach none.
var unasked = handler.HandlerFunc(func(context.Context, *handler.Message) error { return errors.New("the handler was called") })

func endpoint(t testing.TB, a *snstest.Server, h handler.Handler, f func(*snspush.Config)) *snspush.Endpoint {
	t.Helper()
	c := &snspush.Config{Client: a.Client(), Roots: a.Roots, Host: a.Is}
	if f != nil {
		f(c)
	}
	e, err := snspush.New(h, []string{snstest.Topic}, c)
	require.NoError(t, err)
	return e
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
	a := snstest.Start(t)
	calls := 0
	e := endpoint(t, a, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		calls++
		require.Equal(t, "Hello\nworld!", string(m.Body))
		require.Equal(t, "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", m.ID)
		require.Equal(t, "My First Message", m.Attribute("sns-subject"))
		require.Equal(t, snstest.Topic, m.Origin().Queue)
		return nil
	}), func(c *snspush.Config) { c.AllowSHA1 = true })
	require.Equal(t, 200, post(t, e, a.Sign(a.Document("Notification"))))
	old := a.Document("Notification")
	old["SignatureVersion"] = "1"
	require.Equal(t, 200, post(t, e, a.Sign(old)))
	require.Equal(t, 2, calls)
	require.EqualValues(t, 1, a.Fetched.Load(), "the certificate is kept")
	require.Equal(t, 200, post(t, e, a.Sign(a.Document("SubscriptionConfirmation"))))
	require.EqualValues(t, 1, a.Confirmed.Load())
	require.Equal(t, 200, post(t, e, a.Sign(a.Document("UnsubscribeConfirmation"))))
	require.EqualValues(t, 1, a.Confirmed.Load(), "an unsubscription is not undone")
	manual := endpoint(t, a, unasked, func(c *snspush.Config) { c.ManualConfirm = true })
	require.Equal(t, 200, post(t, manual, a.Sign(a.Document("SubscriptionConfirmation"))))
	require.EqualValues(t, 1, a.Confirmed.Load())
	require.Equal(t, 2, calls)
}

func TestVerdictsBecomeStatuses(t *testing.T) {
	a := snstest.Start(t)
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
		e := endpoint(t, a, handler.HandlerFunc(func(context.Context, *handler.Message) error { return c.err }), c.config)
		require.Equal(t, c.status, post(t, e, a.Sign(a.Document("Notification"))), "%v", c.err)
	}
	require.Equal(t, 1, letters)
	e := endpoint(t, a, handler.HandlerFunc(func(context.Context, *handler.Message) error { panic(boom) }), nil)
	require.Equal(t, 503, post(t, e, a.Sign(a.Document("Notification"))))
}

func TestForgeriesAreRefused(t *testing.T) {
	a := snstest.Start(t)
	e := endpoint(t, a, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		t.Error("the handler was called")
		return nil
	}), nil)
	other := snstest.Start(t)
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
		{"foreign topic, well signed", set("TopicArn", snstest.Topic+"2"), nil, 403},
		{"topic changed to a declared one", set("TopicArn", snstest.Topic+"2"), set("TopicArn", snstest.Topic), 403},
		{"no signature", nil, set("Signature", ""), 403},
		{"signature that is none", nil, set("Signature", "!!"), 403},
		{"another's signature", nil, func(d map[string]any) {
			d["Signature"] = other.Sign(maps.Clone(d))["Signature"]
		}, 403},
		{"SHA1", set("SignatureVersion", "1"), nil, 403},
		{"version 3", nil, set("SignatureVersion", "3"), 403},
		{"no version", nil, set("SignatureVersion", ""), 403},
		{"replayed", set("Timestamp", time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339)), nil, 403},
		{"from the future", set("Timestamp", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), nil, 403},
		{"no timestamp", set("Timestamp", ""), nil, 403},
		{"certificate by http", nil, set("SigningCertURL", strings.Replace(a.URL, "https", "http", 1)+"/good.pem"), 403},
		{"certificate from elsewhere", nil, set("SigningCertURL", "https://evil.example.com/good.pem"), 403},
		{"certificate with a user", nil, set("SigningCertURL", strings.Replace(a.URL, "https://", "https://sns.us-east-1.amazonaws.com@", 1)+"/good.pem"), 403},
		{"certificate that is no pem", nil, set("SigningCertURL", a.URL+"/confirm"), 403},
		{"certificate by a query", nil, set("SigningCertURL", a.URL+"/good.pem?x"), 403},
		{"expired certificate", nil, set("SigningCertURL", a.URL+"/expired.pem"), 403},
		{"certificate of another name", nil, set("SigningCertURL", a.URL+"/name.pem"), 403},
		{"self-signed certificate", nil, set("SigningCertURL", a.URL+"/self.pem"), 403},
		{"a page for a certificate", nil, set("SigningCertURL", a.URL+"/page.pem"), 503},
		{"nothing for a certificate", nil, set("SigningCertURL", a.URL+"/empty.pem"), 503},
		{"certificate that is cut off", nil, set("SigningCertURL", a.URL+"/cut.pem"), 503},
		{"chain that is cut off", nil, set("SigningCertURL", a.URL+"/cut%20chain.pem"), 503},
		{"redirected certificate", nil, set("SigningCertURL", a.URL+"/redirect.pem"), 503},
		{"certificate out of reach", nil, set("SigningCertURL", a.URL+"/down.pem"), 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := a.Document("Notification")
			if c.before != nil {
				c.before(d)
			}
			a.Sign(d)
			if c.after != nil {
				c.after(d)
			}
			require.Equal(t, c.status, post(t, e, d))
		})
	}
	d := a.Document("SubscriptionConfirmation")
	d["SubscribeURL"] = "https://evil.example.com/confirm"
	require.Equal(t, 403, post(t, e, a.Sign(d)))
	d = a.Sign(a.Document("SubscriptionConfirmation"))
	d["Token"] = "forged"
	require.Equal(t, 403, post(t, e, d))
	require.Zero(t, a.Confirmed.Load())
}

func TestEndpointRefusesWhatIsNoRequestOfSNS(t *testing.T) {
	a := snstest.Start(t)
	e := endpoint(t, a, unasked, func(c *snspush.Config) { c.MaxBytes = 100 })
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
	a := snstest.Start(f)
	e := endpoint(f, a, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		f.Error("the handler was called")
		return nil
	}), nil)
	d := a.Sign(a.Document("Notification"))
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
