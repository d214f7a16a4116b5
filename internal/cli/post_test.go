package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func TestAnswersAreVerdicts(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status  int
		retry   string
		action  handler.Action
		delayed bool
		delay   time.Duration
	}{
		{status: 200, action: handler.Ack},
		{status: 204, action: handler.Ack},
		{status: 299, retry: "5", action: handler.Ack},
		{status: 302, action: handler.Retry},
		{status: 400, action: handler.DeadLetter},
		{status: 401, action: handler.DeadLetter},
		{status: 404, retry: "5", action: handler.DeadLetter},
		{status: 408, action: handler.Retry},
		{status: 409, action: handler.Retry},
		{status: 422, action: handler.DeadLetter},
		{status: 425, action: handler.Retry},
		{status: 429, retry: "120", action: handler.Retry, delayed: true, delay: 2 * time.Minute},
		{status: 499, action: handler.DeadLetter},
		{status: 500, action: handler.Retry},
		{status: 503, retry: "Fri, 02 Jan 2026 03:05:05 GMT", action: handler.Retry, delayed: true, delay: time.Minute},
		{status: 503, retry: "Fri, 02 Jan 2026 03:00:00 GMT", action: handler.Retry, delayed: true},
		{status: 503, retry: "0", action: handler.Retry, delayed: true},
		{status: 503, retry: "soon", action: handler.Retry},
		{status: 503, retry: "-5", action: handler.Retry},
		{status: 599, action: handler.Retry},
	} {
		v := handler.VerdictOf(postVerdict(c.status, c.retry, "because", now))
		require.Equal(t, c.action, v.Action, c.status)
		require.Equal(t, c.delayed, v.Delayed, "%d %s", c.status, c.retry)
		require.Equal(t, c.delay, v.Delay, "%d %s", c.status, c.retry)
		if c.action != handler.Ack {
			require.ErrorContains(t, v.Err, fmt.Sprintf("HTTP status %d", c.status))
			require.ErrorContains(t, v.Err, "because")
		}
	}
}

func TestPost(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		if string(body) == "bad" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no\nsuch  order "+strings.Repeat("x", 1000))
		}
	}))
	defer s.Close()
	h, err := newPostHandler(s.URL+"/orders?x=1", 4)
	require.NoError(t, err)
	m := &handler.Message{ID: "m-1", Body: []byte("\x00\xff"), Group: "g 1", DedupeID: "d", Attempt: 3, Attributes: map[string]string{
		"tenant_id": "a%b", "naïve": " é\r\nEvil: x ", "Content-Type": "application/json", "traceparent": "00-x", "tracestate": "bad\n", "empty": "",
	}}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, "/orders?x=1", got.URL.String())
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, []byte("\x00\xff"), body)
	for name, want := range map[string]string{
		"Sluice-Message-Id": "m-1", "Sluice-Attempt": "3", "Sluice-Queue": "orders", "Sluice-Group": "g 1", "Sluice-Dedupe-Id": "d",
		"Sluice-Attr-Tenant-Id": "a%25b", "Sluice-Attr-Na-ve": "%20%C3%A9%0D%0AEvil: x%20", "Sluice-Attr-Content-Type": "application/json",
		"Content-Type": "application/json", "Traceparent": "00-x", "Tracestate": "", "Evil": "",
	} {
		require.Equal(t, want, got.Header.Get(name), name)
	}
	require.Contains(t, got.Header, "Sluice-Attr-Empty")

	err = h.Handle(t.Context(), &handler.Message{Body: []byte("bad")})
	require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"))
	require.Equal(t, handler.DeadLetter, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "HTTP status 422 Unprocessable Entity: no such order xxx")
	require.Less(t, len(err.Error()), 600)
}

func TestPostDoesNotFollowRedirects(t *testing.T) {
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	h, err := newPostHandler(s.URL, 1)
	require.NoError(t, err)
	err = h.Handle(t.Context(), &handler.Message{})
	require.Equal(t, handler.Retry, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "302")
	require.Equal(t, 1, hits)
}

func TestPostRetriesWhatCannotBeReached(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	h, err := newPostHandler(strings.Replace(s.URL, "http://", "http://user:hunter2@", 1), 1)
	require.NoError(t, err)
	err = h.Handle(t.Context(), &handler.Message{})
	require.Equal(t, handler.Retry, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestPostURL(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1:80", "ftp://x", "http://", "http://[x", "/path"} {
		_, err := newPostHandler(u, 1)
		require.Equal(t, ExitUsage, exitCode(err), u)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("name", "value")
	f.Add("na:me\r\n", "a\r\nb\x00 %")
	f.Fuzz(func(t *testing.T, name, value string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", nil)
		setHeaders(r.Header, &handler.Message{ID: value, Group: value, Attributes: map[string]string{name: value}})
		for k, vs := range r.Header {
			require.Regexp(t, `^[A-Za-z0-9-]+$`, k)
			require.True(t, plainHeader(vs[0]), "%q", vs[0])
		}
	})
}
