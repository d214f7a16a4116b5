package httphandler

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/tracecontext"
	"github.com/sluice-go/sluice/internal/attribute"
)

// The headers of a request that describe its message. The header of an attribute
// begins with headerAttribute; the package comment describes the rest.
const (
	headerMessageID = "Sluice-Message-Id"
	headerAttempt   = "Sluice-Attempt"
	headerQueue     = "Sluice-Queue"
	headerGroup     = "Sluice-Group"
	headerDedupeID  = "Sluice-Dedupe-Id"
	headerAttribute = "Sluice-Attr-"
	// headerLeftOut names the attributes that a request does not have because the
	// endpoint refused headers of that size.
	headerLeftOut = "Sluice-Left-Out"
)

const contentType = "Content-Type"

// setHeaders sets the headers that describe m, and returns the names of the
// attributes that have none: look-alikes of reserved names, and those that fold
// into the header of another. A header that h has already is the configuration's:
// an attribute does not replace it.
func setHeaders(h http.Header, m *handler.Message) (dropped []string) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, headerValue(value))
		}
	}
	configured := maps.Clone(h)
	if h.Get(contentType) == "" {
		h.Set(contentType, "application/octet-stream")
	}
	set(headerMessageID, m.ID)
	set(headerAttempt, strconv.Itoa(m.Attempt))
	set(headerQueue, m.Origin().Queue)
	set(headerGroup, m.Group)
	set(headerDedupeID, m.DedupeID)
	headers, dropped := attribute.Folded(m.Attributes, func(name string) string {
		return http.CanonicalHeaderKey(headerAttribute + headerName(name))
	})
	for header, name := range headers {
		value := m.Attributes[name]
		if _, taken := configured[header]; taken {
			dropped = append(dropped, name)
			continue
		}
		h[header] = []string{headerValue(value)}
		if _, taken := configured[contentType]; !taken && strings.EqualFold(name, contentType) && value != "" && plainHeader(value) {
			h.Set(contentType, value)
		}
	}
	return dropped
}

// roomForAttributes is how many bytes of headers any server takes beside the others.
const roomForAttributes = 4 << 10

// cut takes the longest attributes out of h, until those that are left have their room,
// and reports whether it had to.
func cut(h http.Header, m *handler.Message) bool {
	type field struct{ header, name string }
	var fields []field
	for name := range m.Attributes {
		header := http.CanonicalHeaderKey(headerAttribute + headerName(name))
		if v := h[header]; len(v) == 1 && v[0] == headerValue(m.Attributes[name]) {
			fields = append(fields, field{header, name})
		}
	}
	size := func(f field) int { return len(f.header) + len(h[f.header][0]) + len(": \r\n") }
	slices.SortFunc(fields, func(a, b field) int {
		return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(a.name, b.name))
	})
	room := roomForAttributes
	var left []string
	for _, f := range fields {
		if n := size(f); n <= room {
			room -= n
			continue
		}
		delete(h, f.header)
		left = append(left, headerName(f.name))
	}
	if len(left) == 0 {
		return false
	}
	slices.Sort(left)
	names := strings.Join(left, ",")
	if len(names) > longestList {
		names = names[:longestList] + ",..."
	}
	h.Set(headerLeftOut, names)
	return true
}

const longestList = 1 << 10

// setTrace sets W3C's headers: those of the current span, or else the sender's,
// which do not replace headers of the configuration.
func setTrace(ctx context.Context, h http.Header, m *handler.Message) {
	parent, state := tracecontext.Of(ctx, m)
	if parent == "" || !plainHeader(parent) {
		return
	}
	if h.Get("Traceparent") != "" && parent == m.Attribute("traceparent") {
		return
	}
	h.Set("Traceparent", parent)
	if state != "" && plainHeader(state) {
		h.Set("Tracestate", state)
	}
}

// signedID is what the signature calls a message, the same at each attempt: what
// its sender calls it, if it does, since that survives a redrive.
func signedID(m *handler.Message) string {
	id := m.DedupeID
	if id == "" {
		id = m.ID
	}
	// The signature ends the ID with a full stop, so it cannot have one.
	odd := strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' })
	const longest = 256 // of what package webhook takes
	if id != "" && (odd || len(id) > longest) {
		sum := sha256.Sum256([]byte(id))
		return "sha256_" + hex.EncodeToString(sum[:])
	}
	return id
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

// headerValue percent-encodes "%" and the characters that a header cannot
// carry.
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

// parseRetryAfter reads a Retry-After header, by RFC 9110 section 10.2.3 a number
// of seconds or a date; the delay of a date that has passed is 0. Any other value counts
// as absent.
func parseRetryAfter(v string, now time.Time) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if v != "" && strings.Trim(v, "0123456789") == "" {
		seconds, err := strconv.ParseUint(v, 10, 64)
		if err != nil || seconds > uint64(longestDelay/time.Second) {
			return longestDelay, true // more digits than a number has
		}
		return time.Duration(seconds) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), longestDelay), true
	}
	return 0, false
}

// longestDelay is what a number of seconds is cut to that is beyond durations.
const longestDelay = 100 * 365 * 24 * time.Hour
