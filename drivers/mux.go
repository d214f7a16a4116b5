package drivers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/sluice-go/sluice/internal/nearest"
)

// An Opener opens the queues of one provider by URL. Its methods may be called
// concurrently.
type Opener interface {
	// Schemes lists the URL schemes that it opens, such as "awssqs".
	Schemes() []string
	// OpenSource opens the queue that u names for receiving.
	OpenSource(ctx context.Context, u *url.URL, o *Options) (Source, error)
	// OpenSink opens the queue that u names for sending.
	OpenSink(ctx context.Context, u *url.URL, o *Options) (Sink, error)
}

// Options are settings beyond the URL. Nil means none.
type Options struct {
	// DeadLetter names the dead-letter queue, in the provider's own terms (SQS:
	// queue name, URL or ARN; Pub/Sub: topic), if it is not the one of the
	// queue's native policy. Empty means the native one.
	DeadLetter string
	// Logger receives warnings of a driver while it opens. Nil discards them.
	Logger *slog.Logger
}

// A Mux opens a queue with the opener that its URL's scheme names. The zero Mux
// opens nothing. It is safe for concurrent use once the last Handle is done.
type Mux struct {
	openers map[string]Opener
}

// NewMux returns a Mux of the given openers. A scheme that two of them name
// belongs to the later.
func NewMux(openers ...Opener) *Mux {
	m := &Mux{}
	for _, o := range openers {
		m.Handle(o)
	}
	return m
}

// Handle adds an opener.
func (m *Mux) Handle(o Opener) {
	if m.openers == nil {
		m.openers = make(map[string]Opener)
	}
	for _, s := range o.Schemes() {
		m.openers[s] = o
	}
}

// Schemes lists the URL schemes that the Mux opens, sorted.
func (m *Mux) Schemes() []string {
	ss := make([]string, 0, len(m.openers))
	for s := range m.openers {
		ss = append(ss, s)
	}
	sort.Strings(ss)
	return ss
}

// OpenSource opens the queue that rawURL names for receiving.
func (m *Mux) OpenSource(ctx context.Context, rawURL string, o *Options) (Source, error) {
	op, u, err := m.find(rawURL)
	if err != nil {
		return nil, err
	}
	return op.OpenSource(ctx, u, o)
}

// OpenSink opens the queue that rawURL names for sending.
func (m *Mux) OpenSink(ctx context.Context, rawURL string, o *Options) (Sink, error) {
	op, u, err := m.find(rawURL)
	if err != nil {
		return nil, err
	}
	return op.OpenSink(ctx, u, o)
}

// Opener returns the opener of rawURL's scheme, and the URL parsed, for those
// who look for its optional interfaces, such as those of package provision.
func (m *Mux) Opener(rawURL string) (Opener, *url.URL, error) { return m.find(rawURL) }

func (m *Mux) find(rawURL string) (Opener, *url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parse error repeats the URL, and with it a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, nil, &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("malformed queue URL: %w", err)}
	}
	if op, ok := m.openers[u.Scheme]; ok {
		return op, u, nil
	}
	way := m.suggest(rawURL)
	if way != "" && u.User != nil { // the way leaves the user out, so that it is not the same queue's name
		return nil, nil, &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("unknown scheme %q", u.Scheme), Remedy: "write " + way}
	}
	if way != "" {
		return nil, nil, &Error{Code: Invalid, Op: "open", Err: errors.New("this is a provider's name for a queue, not a queue URL"),
			Remedy: "write " + way}
	}
	if u.Scheme == "" {
		return nil, nil, &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("%q is not a queue URL: it has no scheme", rawURL),
			Remedy: "known schemes: " + strings.Join(m.Schemes(), ", ")}
	}
	if u.Scheme == "http" || u.Scheme == "https" { // an address, not a scheme that is misspelt
		return nil, nil, &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("unknown scheme %q", u.Scheme),
			Remedy: "known: " + strings.Join(m.Schemes(), ", ")}
	}
	return nil, nil, &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("unknown scheme %q", u.Scheme),
		Remedy: didYouMean(u.Scheme, m.Schemes())}
}

// A Suggester knows the provider's own names of queues, which people paste. It is
// an optional interface of an [Opener].
type Suggester interface {
	// Suggest returns the queue URL to write in place of s, such as an HTTPS
	// address or a resource name. It returns "" if the provider has no
	// such names.
	Suggest(s string) string
}

// suggest returns the queue URL to write in place of s, "" if no opener knows.
func (m *Mux) suggest(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil {
		u.User = nil // an error must not repeat a password
		s = u.String()
	}
	for _, scheme := range m.Schemes() {
		if o, ok := m.openers[scheme].(Suggester); ok {
			if way := o.Suggest(s); way != "" {
				return way
			}
		}
	}
	return ""
}

// CheckParams returns an error that names the first query parameter of u that
// is not in known, and the nearest that is, or that occurs twice or is empty. A driver
// calls it, so that no parameter is ever accepted and ignored.
func CheckParams(u *url.URL, known ...string) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("malformed query in the queue URL: %w", err)}
	}
	for _, k := range sortedKeys(q) {
		if !slices.Contains(known, k) {
			return &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("unknown parameter %q in the %s URL", k, u.Scheme),
				Remedy: didYouMean(k, known)}
		}
		if len(q[k]) > 1 {
			return &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("parameter %q occurs %d times in the %s URL", k, len(q[k]), u.Scheme)}
		}
		if q[k][0] == "" { // as in dead_letter=$DLQ without the variable
			return &Error{Code: Invalid, Op: "open", Err: fmt.Errorf("parameter %q is empty in the %s URL", k, u.Scheme), Remedy: "give it a value, or leave it out"}
		}
	}
	return nil
}

func sortedKeys(q url.Values) []string {
	ks := make([]string, 0, len(q))
	for k := range q {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}

func didYouMean(got string, known []string) string {
	if n := nearest.Of(got, known); n != "" {
		return fmt.Sprintf("did you mean %q? known: %s", n, strings.Join(known, ", "))
	}
	return "known: " + strings.Join(known, ", ")
}
