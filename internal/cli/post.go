package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// The headers of a request that hands a message to an HTTP endpoint. An
// attribute is headerAttribute and its name, with a hyphen for every character
// that a header's name cannot have; in its value, what a header cannot carry and
// "%" are percent-encoded.
const (
	headerMessageID = "Sluice-Message-Id"
	headerAttempt   = "Sluice-Attempt"
	headerQueue     = "Sluice-Queue"
	headerGroup     = "Sluice-Group"
	headerDedupeID  = "Sluice-Dedupe-Id"
	headerAttribute = "Sluice-Attr-"
)

const (
	// answerKept is how much of an answer goes into the reason of a failure,
	// answerRead how much is read so that the connection can be used again.
	answerKept = 500
	answerRead = 64 << 10
)

// A postHandler handles a message by POSTing it.
type postHandler struct {
	url    string
	client *http.Client
}

func newPostHandler(rawURL string, concurrency int) (*postHandler, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, usage("--http: malformed URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--http %s: it is an http:// or https:// URL", u.Redacted())
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
	t.MaxIdleConns, t.MaxIdleConnsPerHost = concurrency, concurrency
	return &postHandler{url: rawURL, client: &http.Client{
		Transport: t,
		// A redirected POST would often become a GET, without its body.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Handle implements handler.Handler.
func (h *postHandler) Handle(ctx context.Context, m *handler.Message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(m.Body))
	if err != nil {
		return err
	}
	setHeaders(r.Header, m)
	answer, err := h.client.Do(r)
	if err != nil {
		if ue, ok := err.(*url.Error); ok && ctx.Err() == nil { //nolint:errorlint // Do returns it unwrapped
			err = ue.Err // without the URL, which may have a password
		}
		return fmt.Errorf("POST: %w", err)
	}
	defer answer.Body.Close()
	said := readAnswer(answer.Body)
	return postVerdict(answer.StatusCode, answer.Header.Get("Retry-After"), said, time.Now())
}

func readAnswer(body io.Reader) string {
	// What cannot be read is not told.
	content, _ := io.ReadAll(io.LimitReader(body, answerRead))
	if len(content) > answerKept {
		content = append(content[:answerKept:answerKept], "..."...)
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(content), "")), " ")
}

// postVerdict reads the verdict out of an answer.
func postVerdict(status int, retryAfter, said string, now time.Time) error {
	if status >= 200 && status <= 299 {
		return nil
	}
	err := explain(fmt.Errorf("HTTP status %d %s", status, http.StatusText(status)), said)
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if status >= 400 && status <= 499 {
			return handler.Reject(err)
		}
	}
	if d, ok := parseRetryAfter(retryAfter, now); ok {
		return handler.RetryAfter(d, err)
	}
	return err
}

// parseRetryAfter reads a Retry-After header: seconds, or a date.
func parseRetryAfter(v string, now time.Time) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0), true
	}
	return 0, false
}

func setHeaders(h http.Header, m *handler.Message) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, headerValue(value))
		}
	}
	h.Set("Content-Type", "application/octet-stream")
	set(headerMessageID, m.ID)
	set(headerAttempt, strconv.Itoa(m.Attempt))
	set(headerQueue, m.Origin().Queue)
	set(headerGroup, m.Group)
	set(headerDedupeID, m.DedupeID)
	// Sorted, so that of two names that become the same header it is always the
	// same one that wins.
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		value := m.Attributes[name]
		h.Set(headerAttribute+headerName(name), headerValue(value))
		switch strings.ToLower(name) {
		case "content-type", "traceparent", "tracestate":
			// These mean the same to the endpoint as they do to the queue.
			if plainHeader(value) {
				h.Set(name, value)
			}
		}
	}
}

// headerName replaces what a header's name cannot have, as far as proxies pass
// it on: they tend to drop names with underscores and dots.
func headerName(attribute string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '-'
		}
	}, attribute)
}

func plainHeader(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return value == strings.TrimSpace(value)
}

// headerValue percent-encodes what a header cannot carry, and "%" itself.
func headerValue(v string) string {
	if plainHeader(v) && !strings.Contains(v, "%") {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		edge := i == 0 || i == len(v)-1
		if c := v[i]; c < ' ' || c > '~' || c == '%' || c == ' ' && edge {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(v[i])
	}
	return b.String()
}
