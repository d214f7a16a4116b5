package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/letters/where"
	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// google is the Pub/Sub of all tests. Its clients find it by a variable only.
var google *pubsubtest.Server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if google, err = pubsubtest.Start(""); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, google.Close()) }()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "PUBSUB_EMULATOR_HOST": google.Addr(),
	} {
		if err := os.Setenv(name, value); err != nil {
			return 0, err
		}
	}
	defer func() { closeBrowser() }()
	return suite.Run(m), nil
}

// A site is a console that runs in a test, and a browser without scripts.
type site struct {
	t   *testing.T
	url string
	log *output.Buffer
	web *http.Client

	console *console.Console
	// page, unless it is nil, answers in place of the console on the path /evil.
	page func(http.ResponseWriter)
}

// open starts a console that has expressions.
func open(t *testing.T, c *console.Config) *site {
	t.Helper()
	c.Compile = func(source string) (func(letters.Letter) bool, error) {
		e, err := where.Compile(source)
		if err != nil {
			return nil, err
		}
		return e.Selects, nil
	}
	return serve(t, c)
}

// serve starts a console.
func serve(t *testing.T, c *console.Config) *site {
	t.Helper()
	s := &site{t: t, log: new(output.Buffer)}
	c.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	one, err := console.New(c)
	require.NoError(t, err)
	s.console = one
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- one.Run(ctx) }()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/evil" && s.page != nil {
			s.page(w)
			return
		}
		one.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		cancel()
		require.NoError(t, <-done)
	})
	s.url = server.URL
	s.web = s.browser()
	return s
}

// browser returns a client with a session of its own, which follows no redirect.
func (s *site) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// An answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (s *site) do(r *http.Request) answer {
	s.t.Helper()
	resp, err := s.web.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(body)}
}

func (s *site) request(method, path string, form url.Values) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.do(s.request(http.MethodGet, path, nil))
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form with the token that the page at from has.
func (s *site) post(from, to string, form url.Values) answer {
	s.t.Helper()
	token := csrfInput.FindStringSubmatch(s.get(from).body)
	require.NotNil(s.t, token, "%s has no form", from)
	if form == nil {
		form = url.Values{}
	}
	form.Set("csrf", token[1])
	return s.do(s.request(http.MethodPost, to, form))
}

// sees waits until a page has a text.
func (s *site) sees(path, text string) string {
	s.t.Helper()
	var body string
	require.Eventually(s.t, func() bool {
		body = s.get(path).body
		return strings.Contains(body, text)
	}, 2*time.Minute, 20*time.Millisecond, "%s never has %q", path, text)
	return body
}

// memory has queues in memory with some messages and letters.
func memory(t *testing.T, mux *drivers.Mux, name string, messages, letters int) config.Queue {
	t.Helper()
	q := config.Queue{Name: name, Source: "mem://" + name, Sink: "mem://" + name, Configured: true,
		Spec: provision.Spec{Name: name, DeadLetter: &provision.DeadLetter{MaxAttempts: 5}}}
	source, err := q.OpenSource(t.Context(), mux, nil)
	require.NoError(t, err)
	require.NoError(t, source.Close())
	send(t, mux, "mem://"+name, messages, nil)
	send(t, mux, "mem://"+name+"-dlq", letters, map[string]string{drivers.AttributeDeadLetterReason: "no stock"})
	return q
}

func send(t *testing.T, mux *drivers.Mux, to string, n int, attributes map[string]string) {
	t.Helper()
	sink, err := mux.OpenSink(t.Context(), to, nil)
	require.NoError(t, err)
	for i := range n {
		require.Empty(t, sink.Send(t.Context(), []*handler.Message{{Body: fmt.Appendf(nil, `{"n":%d}`, i), Attributes: attributes}}))
	}
	require.NoError(t, sink.Close())
}

func TestTheOverviewHasAllQueues(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	conf := &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 3, 2), memory(t, mux, "mail", 0, 0),
		{Name: "out", Sink: "mem://out", Configured: true}, {Name: "gone", Source: "sqlite:///nowhere/x.db?queue=gone", Configured: true}},
		Command: func(f *admin.Finding) (line, note string) { return "sluice mend " + f.ID, "soon" }}
	s := open(t, conf)
	body := s.sees("/", "Examined ")
	body = s.sees("/", "not counted") + body
	for _, text := range []string{"<strong>4 queues</strong>", "<strong>2</strong> dead letters", "send only", `href="/queues/orders"`} {
		require.Contains(t, body, text)
	}
	require.Contains(t, body, `1<span class="sr"> finding major</span>`)
	page := s.get("/queues/orders").body
	require.Regexp(t, `<dt>Visible</dt><dd>3</dd>`, page)
	require.Regexp(t, `<dt>Dead letters</dt><dd>2</dd>`, page)
	require.Contains(t, page, "None: the queue is as configured.")
	require.Contains(t, page, `<code>sluice mend letters-present (soon)</code><button type="button" class="copy" data-copy="sluice mend letters-present" hidden>`)
	require.Equal(t, http.StatusNotFound, s.get("/queues/nothing").StatusCode)
	require.Equal(t, http.StatusNotFound, s.get("/nothing").StatusCode)
	require.Contains(t, s.get("/queues/gone").body, "The last count failed")

	require.Equal(t, http.StatusSeeOther, s.post("/doctor", "/doctor", nil).StatusCode)
	require.Contains(t, s.get("/doctor").body, "letters-present")
}

// A page must not hold what an attacker sends.
func TestPagesEscapeAndAreStrict(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	q := memory(t, mux, "orders", 0, 1)
	q.Name = `<script>alert(1)</script>`
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{q}})
	body := s.sees("/", "Examined ")
	require.NotContains(t, body, "<script>alert")
	got := s.get("/queues/" + url.PathEscape(q.Name))
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.NotContains(t, got.body, "<script>alert")
	for _, page := range []string{"/", "/doctor", "/queues/" + url.PathEscape(q.Name), "/nothing", "/static/console.js", "/static/"} {
		h := s.get(page).Header
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", page)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe", page)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), page)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), page)
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"), page)
		require.Equal(t, "no-store", h.Get("Cache-Control"), page)
		body := s.get(page).body
		require.NotRegexp(t, `(?i)<[^>]+ (style|on[a-z]+)=`, body, "%s has an inline style or script", page)
		require.NotRegexp(t, `(?i)<style|<script>`, body, page)
		require.NotRegexp(t, `(?:src|href)="https?:`, body, "%s loads something from elsewhere", page)
	}
	require.Equal(t, http.StatusNotFound, s.get("/static/").StatusCode, "no listing")
}

func TestARequestMustNameTheConsole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		conf  console.Config
		host  string
		serve bool
	}{
		{"loopback", console.Config{}, "127.0.0.1:9", true},
		{"its name", console.Config{}, "localhost", true},
		{"IPv6", console.Config{}, "[::1]:8090", true},
		{"another name", console.Config{}, "attacker.example", false},
		{"a name that ends like it", console.Config{}, "localhost.attacker.example:8090", false},
		{"a permitted one", console.Config{Hosts: []string{"console.example"}}, "Console.example:443", true},
		{"one beside it", console.Config{Hosts: []string{"console.example"}}, "attacker.example", false},
		{"with a login", console.Config{Token: "0123456789abcdef"}, "console.example", true},
		{"with a login and names", console.Config{Token: "0123456789abcdef", Hosts: []string{"console.example"}}, "attacker.example", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.conf.Mux = all.Mux()
			s := open(t, &c.conf)
			r := s.request(http.MethodGet, "/login", nil)
			r.Host = c.host
			want := http.StatusMisdirectedRequest
			if c.serve {
				want = http.StatusSeeOther
				if c.conf.Token != "" {
					want = http.StatusOK
				}
			}
			require.Equal(t, want, s.do(r).StatusCode)
		})
	}
}

// A form of another page changes nothing, whoever is logged in.
func TestAForgedFormIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, &console.Config{Mux: all.Mux()})
	token := csrfInput.FindStringSubmatch(s.get("/doctor").body)[1]
	for _, c := range []struct {
		name string
		form url.Values
		set  map[string]string
		want int
	}{
		{"its own", url.Values{"csrf": {token}}, map[string]string{"Origin": s.url, "Sec-Fetch-Site": "same-origin"}, http.StatusSeeOther},
		{"no token", url.Values{}, nil, http.StatusForbidden},
		{"a wrong token", url.Values{"csrf": {token + "x"}}, nil, http.StatusForbidden},
		{"another origin", url.Values{"csrf": {token}}, map[string]string{"Origin": "https://attacker.example"}, http.StatusForbidden},
		{"no origin to speak of", url.Values{"csrf": {token}}, map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"another site", url.Values{"csrf": {token}}, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"a sibling", url.Values{"csrf": {token}}, map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
	} {
		r := s.request(http.MethodPost, "/doctor", c.form)
		for k, v := range c.set {
			r.Header.Set(k, v)
		}
		require.Equal(t, c.want, s.do(r).StatusCode, c.name)
	}
	require.Contains(t, s.log.String(), "a forged request was refused")

	r := s.request(http.MethodPost, "/doctor", url.Values{"csrf": {token}})
	s.web = s.browser() // another session
	require.Equal(t, http.StatusForbidden, s.do(r).StatusCode)
	r = s.request(http.MethodGet, "/doctor", nil)
	r.AddCookie(&http.Cookie{Name: "sluice_console_" + r.URL.Port(), Value: "chosen.signature"})
	require.NotEmpty(t, s.do(r).Cookies(), "a name that the console has not given is not taken")
}

func TestViewersLogInWithTheToken(t *testing.T) {
	t.Parallel()
	const token = "correct horse battery"
	s := open(t, &console.Config{Mux: all.Mux(), Token: token})
	for _, page := range []string{"/", "/doctor"} {
		got := s.get(page)
		require.Equal(t, http.StatusSeeOther, got.StatusCode)
		require.Equal(t, "/login?to="+url.QueryEscape(page), got.Header.Get("Location"))
	}
	r := s.request(http.MethodGet, "/", nil)
	r.Header.Set("X-Sluice-Refresh", "1")
	require.Equal(t, http.StatusUnauthorized, s.do(r).StatusCode, "the script reloads the page")
	require.Equal(t, http.StatusUnauthorized, s.post("/login", "/doctor", nil).StatusCode)

	require.Equal(t, http.StatusUnauthorized, s.post("/login", "/login", url.Values{"token": {"wrong"}}).StatusCode)
	got := s.post("/login", "/login", url.Values{"token": {token}, "to": {"/doctor"}})
	require.Equal(t, http.StatusSeeOther, got.StatusCode)
	require.Equal(t, "/doctor", got.Header.Get("Location"))
	cookie := got.Header.Get("Set-Cookie")
	require.Contains(t, cookie, "HttpOnly")
	require.Contains(t, cookie, "SameSite=Lax")
	require.NotContains(t, cookie, "Secure")
	r = s.request(http.MethodGet, "/login", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	fresh, err := s.browser().Do(r)
	require.NoError(t, err)
	require.NoError(t, fresh.Body.Close())
	require.Contains(t, fresh.Header.Get("Set-Cookie"), "Secure", "a proxy has taken TLS off")
	require.Equal(t, http.StatusOK, s.get("/doctor").StatusCode)

	require.Equal(t, http.StatusSeeOther, s.post("/doctor", "/logout", nil).StatusCode)
	require.Equal(t, http.StatusSeeOther, s.get("/doctor").StatusCode)
	for _, to := range []string{"//attacker.example", "https://attacker.example", `/\attacker.example`, "javascript:alert(1)", ""} {
		got := s.post("/login", "/login", url.Values{"token": {token}, "to": {to}})
		require.Equal(t, "/", got.Header.Get("Location"), to)
		s.web = s.browser()
	}
	require.NotContains(t, s.log.String(), token)
}

func TestLoginsAreFew(t *testing.T) {
	t.Parallel()
	s := open(t, &console.Config{Mux: all.Mux(), Token: "correct horse battery"})
	s.console.KeepTries()
	tries := 0
	for ; tries < 30; tries++ {
		s.web = s.browser()
		if s.post("/login", "/login", url.Values{"token": {fmt.Sprint("guess ", tries)}}).StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	require.Equal(t, 10, tries)
	require.Equal(t, http.StatusTooManyRequests, s.post("/login", "/login", url.Values{"token": {"correct horse battery"}}).StatusCode)
	require.Contains(t, s.log.String(), "too many logins")
}

func TestAProxyNamesTheViewer(t *testing.T) {
	t.Parallel()
	s := open(t, &console.Config{Mux: all.Mux(), TrustedHeader: "X-Forwarded-User"})
	require.Equal(t, http.StatusUnauthorized, s.get("/").StatusCode)
	r := s.request(http.MethodGet, "/", nil)
	r.Header.Set("X-Forwarded-User", "ada@example.com")
	require.Contains(t, s.do(r).body, "ada@example.com")
	r.Header.Add("X-Forwarded-User", "eve@example.com")
	require.Equal(t, http.StatusUnauthorized, s.do(r).StatusCode, "one of them is the sender's own")
}

func TestWrongConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range []console.Config{
		{Every: time.Millisecond},
		{Token: "short"},
		{Token: "0123456789abcdef", TrustedHeader: "X-User"},
	} {
		_, err := console.New(&c)
		require.ErrorContains(t, err, "console: ")
	}
}

// An idle console, and one that is looked at, asks for counts and for settings, and
// receives nothing: neither messages nor letters.
func TestAnIdleConsoleReceivesNothing(t *testing.T) {
	t.Parallel()
	idle := 3 * time.Second
	if suite.Full() {
		idle = time.Minute
	}
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()

	mux := all.Mux()
	conf := &console.Config{Mux: mux, Every: time.Second}
	for name, at := range map[string]string{
		"orders": "awssqs:///orders?region=us-east-1&endpoint=" + server.URL(),
		"events": "gcppubsub://projects/p/subscriptions/events?endpoint=" + google.Addr(),
	} {
		q := config.Queue{Name: name, Source: at, Sink: at, Configured: true, Spec: provision.Spec{Name: name, DeadLetter: &provision.DeadLetter{}}}
		_, err := admin.Apply(t.Context(), mux, admin.Target{Name: name, URL: at, Spec: &q.Spec}, false)
		require.NoError(t, err)
		send(t, mux, at, 3, nil)
		conf.Queues = append(conf.Queues, q)
	}
	send(t, mux, "awssqs:///orders-dlq?region=us-east-1&endpoint="+server.URL(), 2, nil)
	send(t, mux, "gcppubsub://projects/p/topics/events-dlq", 2, nil)

	s := open(t, conf)
	for end := time.Now().Add(idle); time.Now().Before(end); {
		for _, page := range []string{"/", "/queues/orders", "/queues/events", "/queues/orders/letters", "/queues/events/letters", "/doctor", "/audit"} {
			require.Equal(t, http.StatusOK, s.get(page).StatusCode)
		}
		s.post("/doctor", "/doctor", nil)
		select {
		case <-time.After(time.Second):
		case <-t.Context().Done():
		}
	}
	page := s.get("/queues/orders").body
	require.Regexp(t, `<dt>Visible</dt><dd>3</dd>`, page)
	require.Regexp(t, `<dt>Dead letters</dt><dd>2</dd>`, page)
	require.Contains(t, page, "letters-present")
	require.Regexp(t, `<dt>Visible</dt><dd>3</dd>`, s.get("/queues/events").body)
	require.Zero(t, server.Count("ReceiveMessage"))
	require.Zero(t, google.Calls("Pull"))
	require.Zero(t, google.Calls("StreamingPull"))
	require.Zero(t, server.Count("ChangeMessageVisibilityBatch"))
	require.Zero(t, google.Calls("ModifyAckDeadline"))
	counted := server.Count("GetQueueAttributes")
	require.Positive(t, counted)
	t.Logf("in %v: %d requests for attributes at SQS, %d for metrics at Pub/Sub, no receive", idle, counted, google.Calls("ListTimeSeries"))
}
