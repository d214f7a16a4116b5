package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"

	"gocloud.dev/gcerrors"
	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
)

// The parameters of a URL that this package reads. All others are the provider's;
// gocloud's openers refuse those that they do not know.
const (
	paramRetry      = "retry"
	paramRetryTopic = "retry_topic"
	paramDeadLetter = "dead_letter"
	paramMaxBytes   = "max_message_bytes"
)

var ownParams = []string{paramRetry, paramRetryTopic, paramDeadLetter, paramMaxBytes}

// The values of the parameter retry.
const (
	retryNative    = "native"    // by a nack
	retryRepublish = "republish" // by a copy that takes the message's place
	retryNone      = "none"      // not at all: a message that fails is lost
)

// An Opener opens every URL that a mux of gocloud's opens, as the package
// documentation describes.
// Its methods may be called concurrently.
type Opener struct {
	// Mux holds gocloud's openers. Schemes that are not registered there are not
	// opened. It is required.
	Mux *pubsub.URLMux
	// Providers describes providers by their URL's scheme. A missing one is the
	// zero Provider.
	Providers map[string]Provider
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes lists the schemes that are registered on the mux.
func (o *Opener) Schemes() []string {
	if o.Mux == nil {
		return nil
	}
	ss := slices.Concat(o.Mux.SubscriptionSchemes(), o.Mux.TopicSchemes())
	slices.Sort(ss)
	return slices.Compact(ss)
}

// OpenSource opens the subscription that u names. Options.DeadLetter is a topic's
// URL, like the parameter dead_letter.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	t, err := o.parse(u, opts)
	if err != nil {
		return nil, err
	}
	c := SourceConfig{Queue: t.queue, Provider: t.provider}
	closeAll := func() {
		if c.Republish != nil {
			_ = c.Republish.Close() // the error of opening is returned
		}
		if c.DeadLetter != nil {
			_ = c.DeadLetter.Close() // as above
		}
	}
	if t.retryTopic != nil {
		if c.Republish, err = o.sink(ctx, t.retryTopic, t.maxBytes); err != nil {
			return nil, err
		}
	}
	if t.deadLetter != nil {
		letters, err := o.sink(ctx, t.deadLetter, 0)
		if err != nil {
			closeAll()
			return nil, err
		}
		c.DeadLetter = letters
	}
	opened := false
	s, err := NewSource(ctx, func(ctx context.Context) (*pubsub.Subscription, error) {
		sub, err := o.Mux.OpenSubscriptionURL(ctx, t.url)
		if err != nil && !opened {
			err = refuseURL(ctx, t.queue, err)
		}
		opened = opened || err == nil
		return sub, err
	}, c)
	if err != nil {
		closeAll()
		return nil, err
	}
	return s, nil
}

// OpenSink opens the topic that u names. The parameters retry, retry_topic and
// dead_letter are a source's: a sink checks them and ignores them.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	t, err := o.read(u, opts)
	if err != nil {
		return nil, err
	}
	s, err := o.sink(ctx, t.url, t.maxBytes)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (o *Opener) sink(ctx context.Context, u *url.URL, maxBytes int) (*Sink, error) {
	queue := name(u)
	topic, err := o.Mux.OpenTopicURL(ctx, u)
	if err != nil {
		return nil, refuseURL(ctx, queue, err)
	}
	return NewSink(topic, SinkConfig{
		Queue: queue, Provider: o.provider(u), MaxMessageBytes: maxBytes,
		Open: func(ctx context.Context) (*pubsub.Topic, error) { return o.Mux.OpenTopicURL(ctx, u) },
	})
}

// refuseURL classifies an error of gocloud's openers. One that they do not classify
// is nearly always about the URL: most providers are contacted at the first use
// only.
func refuseURL(ctx context.Context, queue string, err error) error {
	if gcerrors.Code(err) == gcerrors.Unknown {
		return drivers.Wrap(ctx, drivers.Invalid, queue, "open", err, "")
	}
	return classify(ctx, queue, "open", err)
}

// A target is a parsed URL.
type target struct {
	url, retryTopic, deadLetter *url.URL // without this package's parameters
	queue                       string
	provider                    Provider
	maxBytes                    int
	retry                       string
}

// name returns the queue's name as an operator knows it, which gocloud's openers
// form in the same way.
func name(u *url.URL) string { return path.Join(u.Host, u.Path) }

func invalid(queue, remedy, format string, args ...any) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "open", Err: fmt.Errorf(format, args...), Remedy: remedy}
}

// read parses a URL as far as sources and sinks have it in common.
func (o *Opener) read(u *url.URL, opts *drivers.Options) (*target, error) {
	if o.Mux == nil {
		return nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("cloud: Opener.Mux is nil")}
	}
	t := &target{queue: name(u), provider: o.provider(u)}
	if t.queue == "" {
		return nil, invalid("", "as in "+u.Scheme+"://orders", "the %s URL names no topic or subscription", u.Scheme)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, invalid(t.queue, "", "malformed query in the URL: %w", err)
	}
	for _, p := range ownParams {
		if len(q[p]) > 1 {
			return nil, invalid(t.queue, "", "parameter %q occurs %d times", p, len(q[p]))
		}
		if q.Has(p) && q.Get(p) == "" { // as in dead_letter=$DLQ without the variable
			return nil, invalid(t.queue, "give it a value, or leave it out", "parameter %q is empty", p)
		}
	}
	t.retry = q.Get(paramRetry)
	switch t.retry {
	case "", retryNative, retryRepublish, retryNone:
	default:
		return nil, invalid(t.queue, "known: native, republish, none", "parameter retry is %q", t.retry)
	}
	if v := q.Get(paramMaxBytes); q.Has(paramMaxBytes) {
		if t.maxBytes, err = strconv.Atoi(v); err != nil || t.maxBytes < 1 {
			return nil, invalid(t.queue, "", "parameter max_message_bytes is %q: it must be a number above 0", v)
		}
	}
	letters := q.Get(paramDeadLetter)
	if opts != nil && opts.DeadLetter != "" {
		letters = opts.DeadLetter
	}
	if t.deadLetter, err = o.topicURL(t.queue, paramDeadLetter, letters); err != nil {
		return nil, err
	}
	if t.retryTopic, err = o.topicURL(t.queue, paramRetryTopic, q.Get(paramRetryTopic)); err != nil {
		return nil, err
	}
	if t.retryTopic != nil && t.retry != retryRepublish {
		return nil, invalid(t.queue, "add retry=republish", "parameter retry_topic is given and retries are not republished")
	}
	for _, p := range ownParams {
		q.Del(p)
	}
	plain := *u
	plain.RawQuery = q.Encode()
	t.url = &plain
	return t, nil
}

// parse parses a source's URL.
func (o *Opener) parse(u *url.URL, opts *drivers.Options) (*target, error) {
	t, err := o.read(u, opts)
	if err != nil {
		return nil, err
	}
	switch {
	case t.provider.NoNack && (t.retry == "" || t.retry == retryNative):
		return nil, invalid(t.queue, "add retry=republish, or retry=none to accept that a message whose handler fails is lost",
			"%s delivers no message a second time, so that nothing would be retried", t.provider.System)
	case t.retry == retryRepublish && t.retryTopic == nil:
		if !t.provider.SameURL {
			return nil, invalid(t.queue, "name it, as in retry_topic="+url.QueryEscape(u.Scheme+"://orders"),
				"retry=republish needs the topic that the subscription is on")
		}
		t.retryTopic = t.url
	}
	// A rejected message would come back as a new one, for ever.
	if sameTopic(t.deadLetter, t.retryTopic) || t.provider.SameURL && sameTopic(t.deadLetter, t.url) {
		return nil, invalid(t.queue, "name another topic in "+paramDeadLetter, "the queue's own topic cannot be its dead-letter topic")
	}
	return t, nil
}

// sameTopic reports whether two URLs, which can be nil, name one topic.
func sameTopic(a, b *url.URL) bool {
	return a != nil && b != nil && a.Scheme == b.Scheme && name(a) == name(b)
}

// provider returns the description of a URL's provider.
func (o *Opener) provider(u *url.URL) Provider {
	p := o.Providers[u.Scheme]
	p.System = cmp.Or(p.System, u.Scheme)
	return p
}

func (o *Opener) topicURL(queue, param, raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil //nolint:nilnil // it is not given
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalid(queue, "", "the URL in %s is malformed", param) // the error repeats it, and a password
	}
	if !o.Mux.ValidTopicScheme(u.Scheme) {
		return nil, invalid(queue, "", "the URL in %s has the scheme %q, and no topic of that kind can be opened", param, u.Scheme)
	}
	return u, nil
}
