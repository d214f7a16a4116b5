package httphandler_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
	"github.com/sluice-go/sluice/handler/webhook"
)

func newHandler(t testing.TB, url string, c *httphandler.Config) *httphandler.Handler {
	t.Helper()
	h, err := httphandler.New(url, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func serve(t testing.TB, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func TestTheRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		if string(body) == "bad" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no\nsuch  order "+strings.Repeat("x", 1000))
		}
	})
	h := newHandler(t, url+"/orders?x=1", &httphandler.Config{Concurrency: 4, Header: http.Header{
		"authorization": {"Bearer t"}, "Sluice-Queue": {"of the configuration"},
	}})
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
		"Content-Type": "application/json", "Traceparent": "00-x", "Tracestate": "", "Evil": "", "Authorization": "Bearer t",
		webhook.HeaderSignature: "",
	} {
		require.Equal(t, want, got.Header.Get(name), name)
	}
	require.Contains(t, got.Header, "Sluice-Attr-Empty")

	err := h.Handle(t.Context(), &handler.Message{Body: []byte("bad")})
	require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"))
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "HTTP status 422 Unprocessable Entity: no such order xxx")
	require.Less(t, len(err.Error()), 600)
}

func TestTheCurrentSpanGoesOut(t *testing.T) {
	var got http.Header
	h := newHandler(t, serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header }), nil)
	m := &handler.Message{Attributes: map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}}
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, m.Attributes["traceparent"], got.Get("Traceparent"))
	require.Equal(t, "a=b", got.Get("Tracestate"))

	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled}))
	require.NoError(t, h.Handle(ctx, m))
	require.Equal(t, "00-01000000000000000000000000000000-0200000000000000-01", got.Get("Traceparent"))
	require.Empty(t, got.Get("Tracestate"), "the sender's state is not of this span")
	require.Equal(t, m.Attributes["traceparent"], got.Get("Sluice-Attr-Traceparent"))
}

func TestTheRequestIsSigned(t *testing.T) {
	const secret, other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	signer, err := webhook.NewSigner(other, secret)
	require.NoError(t, err)
	verifier, err := webhook.NewVerifier([]string{secret}, nil)
	require.NoError(t, err)
	var ids []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, err := verifier.Verify(r.Header, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		ids = append(ids, id)
	})
	h := newHandler(t, url, &httphandler.Config{Signer: signer})
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m-1", Body: []byte("x")}))
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m-2", DedupeID: "order-7"}))
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m-2", DedupeID: "order 7."}))
	require.Equal(t, []string{"m-1", "order-7"}, ids[:2])
	require.Regexp(t, "^sha256_[0-9a-f]{64}$", ids[2])
	err = h.Handle(t.Context(), &handler.Message{})
	require.ErrorContains(t, err, "sign: webhook: the ID \"\"", "a message without an ID has not come from a queue")
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)

	unsigned := newHandler(t, url, nil)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(unsigned.Handle(t.Context(), &handler.Message{ID: "m-1"})).Action)
}

// An endpoint that answers as no program of the standard library would.
func raw(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					answer(c)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	return raw(t, func(c net.Conn) { _, _ = io.WriteString(c, text) })
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func TestAnswersOutOfTheOrdinary(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	for _, c := range []struct {
		name, url string
		action    handler.Action
		says      string
	}{
		{"down", strings.Replace(down.URL, "http://", "http://user:hunter2@", 1), handler.ActionRetry, "refused"},
		{"reset before the answer", raw(t, reset), handler.ActionRetry, "POST: "},
		{"closed before the answer", write(t, ""), handler.ActionRetry, "EOF"},
		{"no HTTP", write(t, "220 mail.example ESMTP\r\n"), handler.ActionRetry, "malformed HTTP"},
		{"reset within the headers", raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-"); reset(c) }), handler.ActionRetry, "POST: "},
		{"reset within the body of a success", write(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), handler.ActionAck, ""},
		{"reset within the body of a failure", write(t, "HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\nhalf"), handler.ActionDeadLetter, "400 Bad Request: half"},
		{"1xx before the answer", write(t, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n"), handler.ActionAck, ""},
		{"100 before a refusal", write(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"), handler.ActionDeadLetter, "422"},
		{"101", write(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), handler.ActionRetry, "101"},
		{"a status beyond HTTP", write(t, "HTTP/1.1 999 Blocked\r\nContent-Length: 0\r\n\r\n"), handler.ActionRetry, "999"},
		{"very large headers", raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 12<<20))
		}), handler.ActionRetry, "POST: "},
		{"an endless body", serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			for {
				if _, err := io.WriteString(w, strings.Repeat("no ", 10000)); err != nil {
					return
				}
			}
		}), handler.ActionDeadLetter, "400 Bad Request: no no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := newHandler(t, c.url, nil).Handle(t.Context(), &handler.Message{Body: []byte("x")})
			require.Equal(t, c.action, handler.VerdictOf(err).Action, err)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				require.NotContains(t, err.Error(), "hunter2")
				require.Less(t, len(err.Error()), 1000)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		hits := 0
		h := newHandler(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			hits++
			http.Redirect(w, r, "/elsewhere", status)
		}), nil)
		err := h.Handle(t.Context(), &handler.Message{})
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
		require.ErrorContains(t, err, fmt.Sprint(status))
		require.Equal(t, 1, hits)
	}
}

// transport is a RoundTripper by a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASlowEndpointIsRetried(t *testing.T) {
	hang := transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		for limit, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second} {
			begin := time.Now()
			err := newHandler(t, "http://127.0.0.1/", &httphandler.Config{Timeout: limit, Transport: hang}).Handle(t.Context(), &handler.Message{})
			require.Equal(t, want, time.Since(begin))
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, fmt.Sprintf("POST: no answer within %v: context deadline exceeded", want))
		}
		// Without a limit, the handler's context is one.
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Hour, func() { cancel(handler.ErrLeaseLost) })
		err := newHandler(t, "http://127.0.0.1/", &httphandler.Config{Timeout: -1, Transport: hang}).Handle(ctx, &handler.Message{})
		require.ErrorIs(t, err, handler.ErrLeaseLost)
	})
}

// slowBody never ends.
type slowBody struct{ done <-chan struct{} }

func (b slowBody) Read([]byte) (int, error) { <-b.done; return 0, errors.New("canceled") }
func (slowBody) Close() error               { return nil }

func TestTheStatusDecidesThoughTheBodyDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		h := newHandler(t, "http://127.0.0.1/", &httphandler.Config{Timeout: -1, Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: slowBody{r.Context().Done()}}, nil
		})})
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	const workers, rounds = 8, 20
	var opened atomic.Int64
	var mu sync.Mutex
	here, all := 0, make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		// All of a round are there before one is answered.
		mu.Lock()
		mine := all
		if here++; here == workers {
			here, all = 0, make(chan struct{})
			close(mine)
		}
		mu.Unlock()
		<-mine
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	h := newHandler(t, s.URL, &httphandler.Config{Concurrency: workers})
	for range rounds {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				if err := h.Handle(t.Context(), &handler.Message{Body: []byte("x")}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	// One more now and then: a connection can be back a moment after its answer.
	require.Less(t, opened.Load(), int64(workers*rounds/4))
}

func TestWhatNewRefuses(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1:80", "ftp://x", "http://", "http://[x", "/path", "http://user:hunter2@[x"} {
		_, err := httphandler.New(u, nil)
		require.Error(t, err, u)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := httphandler.New("http://x", &httphandler.Config{Concurrency: -1, MaxRetryAfter: -1, Transport: transport(nil)})
	for _, says := range []string{"Concurrency is -1", "MaxRetryAfter is -1ns", "Transport is another"} {
		require.ErrorContains(t, err, says)
	}
}

func BenchmarkPost(b *testing.B) {
	url := serve(b, func(http.ResponseWriter, *http.Request) {})
	signer, err := webhook.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(b, err)
	for _, c := range []struct {
		name   string
		signer *webhook.Signer
	}{{"plain", nil}, {"signed", signer}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHandler(b, url, &httphandler.Config{Concurrency: 32, Signer: c.signer})
			m := &handler.Message{ID: "m-1", Body: make([]byte, 1<<10), Attributes: map[string]string{"tenant": "acme"}}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := h.Handle(b.Context(), m); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
