package cloud

import (
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

// The parameters of a URL that this package reads; all others are the
// provider's, and gocloud's openers refuse what they do not know.
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

// A Provider is what is known of a provider and gocloud does not tell. The zero
// Provider knows nothing, and is right for one that acks and nacks.
type Provider struct {
	// System is OpenTelemetry's messaging.system. Empty means the URL's scheme.
	System string
	// NoNack is true where the provider cannot give a message back (NATS,
	// Kafka). The URL of a source must then say what becomes of retries.
	NoNack bool
	// SameURL is true where a subscription's URL opens its topic as well, so that
	// retries can be republished without a retry_topic (NATS).
	SameURL bool
	// Stop is [SourceConfig].Stop.
	Stop func(s *pubsub.Subscription) error
	// Release is [SourceConfig].Release.
	Release func(s *pubsub.Subscription) error
	// Lost is [SourceConfig].Lost.
	Lost func(m *pubsub.Message) bool
	// Prepare is [SinkConfig].Prepare.
	Prepare func(as func(any) bool) error
	// Check is [SourceConfig].Check.
	Check func(s *pubsub.Subscription) error
	// Flush is [SinkConfig].Flush, for the given topic.
	Flush func(ctx context.Context, t *pubsub.Topic) error
}

// An Opener opens whatever gocloud's mux opens, as the package comment says.
// Its methods may be called concurrently.
type Opener struct {
	// Mux holds gocloud's openers; a scheme that is not registered there is not
	// opened. Required.
	Mux *pubsub.URLMux
	// Providers says what is known of providers, by their URL's scheme. Nil is
	// nothing.
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

// OpenSource opens the subscription that u names. Options.DeadLetter is the
// topic's URL, as the parameter dead_letter.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	t, err := o.parse(u, opts)
	if err != nil {
		return nil, err
	}
	c := SourceConfig{Queue: t.queue, System: t.system, Stop: t.provider.Stop, Release: t.provider.Release, Lost: t.provider.Lost, Check: t.provider.Check}
	closeAll := func() {
		if c.Republish != nil {
			_ = c.Republish.Close() // the error of opening is the one to tell
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
// dead_letter are a source's: a sink checks them and has no use for them.
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
	p := o.Providers[u.Scheme]
	return NewSink(topic, SinkConfig{
		Queue: queue, System: system(p, u), MaxMessageBytes: maxBytes, Prepare: p.Prepare, flush: p.Flush,
		Open: func(ctx context.Context) (*pubsub.Topic, error) { return o.Mux.OpenTopicURL(ctx, u) },
	})
}

// refuseURL codes an error of gocloud's openers. What they do not classify is
// nearly always the URL: most providers are asked at the first use only.
func refuseURL(ctx context.Context, queue string, err error) error {
	if gcerrors.Code(err) == gcerrors.Unknown {
		return drivers.Wrap(ctx, drivers.Invalid, queue, "open", err, "")
	}
	return classify(ctx, queue, "open", err)
}

// target is what a URL says.
type target struct {
	url, retryTopic, deadLetter *url.URL // without this package's parameters
	queue, system               string
	provider                    Provider
	maxBytes                    int
	retry                       string
}

// name is what an operator calls the queue: gocloud's openers make it so.
func name(u *url.URL) string { return path.Join(u.Host, u.Path) }

func system(p Provider, u *url.URL) string {
	if p.System != "" {
		return p.System
	}
	return u.Scheme
}

func invalid(queue, remedy, format string, args ...any) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "open", Err: fmt.Errorf(format, args...), Remedy: remedy}
}

// read reads what sources and sinks have in common.
func (o *Opener) read(u *url.URL, opts *drivers.Options) (*target, error) {
	if o.Mux == nil {
		return nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("cloud: Opener.Mux is nil")}
	}
	t := &target{queue: name(u), provider: o.Providers[u.Scheme]}
	t.system = system(t.provider, u)
	if t.queue == "" {
		return nil, invalid("", "as in "+u.Scheme+"://orders", "the %s URL names no topic or subscription", u.Scheme)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, invalid(t.queue, "", "malformed query in the URL: %w", err)
	}
	for _, p := range ownParams {
		if len(q[p]) > 1 {
			return nil, invalid(t.queue, "", "parameter %q is given %d times", p, len(q[p]))
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

// parse reads a source's URL.
func (o *Opener) parse(u *url.URL, opts *drivers.Options) (*target, error) {
	t, err := o.read(u, opts)
	if err != nil {
		return nil, err
	}
	switch {
	case t.provider.NoNack && (t.retry == "" || t.retry == retryNative):
		return nil, invalid(t.queue, "add retry=republish, or retry=none to accept that a message whose handler fails is lost",
			"%s delivers no message a second time, so that nothing would be retried", t.system)
	case t.retry == retryRepublish && t.retryTopic == nil:
		if !t.provider.SameURL {
			return nil, invalid(t.queue, "name it, as in retry_topic="+url.QueryEscape(u.Scheme+"://orders"),
				"retry=republish needs the topic that the subscription is on")
		}
		t.retryTopic = t.url
	}
	return t, nil
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
