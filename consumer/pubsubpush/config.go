package pubsubpush

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of a [Config].
const (
	// DefaultConcurrency is that of a Cloud Run instance.
	DefaultConcurrency = 80
	// DefaultTimeout is below the ack deadline of a subscription that states
	// none, which is 10 seconds.
	DefaultTimeout = 9 * time.Second
	// DefaultMaxMessageBytes is the largest message that Pub/Sub carries.
	DefaultMaxMessageBytes = 10_000_000
	// DefaultKeysURL is where Google publishes the keys that it signs ID tokens
	// with, as JWKs.
	DefaultKeysURL      = "https://www.googleapis.com/oauth2/v3/certs"
	DefaultKeysInterval = time.Minute
	DefaultClockSkew    = time.Minute
)

// maxClockSkew bounds the leeway for clocks that differ: tokens live for an hour.
const maxClockSkew = 5 * time.Minute

// maxTimeout is the longest ack deadline that a subscription can have, and so the
// longest that a push is waited for.
const maxTimeout = 600 * time.Second

// A Format is how the message is in the request. It is what the subscription or
// the trigger was set up for and is never guessed from the request: whoever may
// publish decides what is in a body, and could forge the metadata.
type Format uint8

// The formats.
const (
	// Wrapped is a push subscription's default, a JSON envelope, and how Eventarc
	// delivers what is published to a topic (a CloudEvent of the type
	// google.cloud.pubsub.topic.v1.messagePublished, whose data is the same
	// envelope). The message is the published one.
	Wrapped Format = iota
	// Unwrapped is a push subscription with payload unwrapping
	// (--push-no-wrapper): the body is the message's, and with
	// --push-no-wrapper-write-metadata the rest is in headers.
	Unwrapped
	// CloudEvents is how Eventarc delivers every other kind of event: over HTTP
	// in binary mode (ce-… headers) or structured mode
	// (application/cloudevents+json). A messagePublished event is read as
	// Wrapped.
	CloudEvents
)

// Config configures an [Endpoint]. Either Audiences and Emails or Insecure must
// be set.
type Config struct {
	// Format is how the message is in the request. Zero means Wrapped.
	Format Format

	// Subscription is the subscription that pushes, opened by
	// [pubsub.Opener.OpenPush]. It gives rejected messages their dead-letter
	// topic and Timeout its default, and a push from another subscription is
	// then refused. Nil means that it is not known. It remains the caller's, who
	// closes it after the server.
	Subscription *pubsub.PushSubscription

	// DeadLetter is where rejected messages are sent instead of to the
	// subscription's dead-letter topic. Nil means that topic. It remains the
	// caller's.
	DeadLetter drivers.Sink

	// Audiences are the audiences that a token may be for: that of the
	// subscription's push config, by default the endpoint's URL as it is there.
	// A token for any other besides is refused.
	Audiences []string

	// Emails are the service accounts that may push: the one of the
	// subscription's or the trigger's push authentication.
	Emails []string

	// Insecure has every request accepted, without a token or with any. It is
	// for use on a developer's machine, and behind something that lets nobody
	// through but the pushing account: Cloud Run that requires authentication
	// does, where no other account has roles/run.invoker. The package's comment
	// says when it is needed there.
	Insecure bool

	// KeysURL is where the keys are that tokens are signed with, a JWK set.
	// Empty means DefaultKeysURL.
	KeysURL string

	// KeysInterval is the shortest time between two requests for the keys,
	// whatever tokens come. Zero means DefaultKeysInterval. For so long a key
	// that is quite new may be refused; the service pushes again.
	KeysInterval time.Duration

	// KeysClient makes these requests. Nil means a client of its own with a
	// timeout of 5 seconds and a new connection for each request.
	KeysClient *http.Client

	// ClockSkew is how far the signer's clock may be off. Zero means
	// DefaultClockSkew; it is at most 5 minutes.
	ClockSkew time.Duration

	// Timeout is how long a handler may take. It must be below the
	// subscription's ack deadline, at which Pub/Sub pushes the message again,
	// and which is at most 600 s. Zero means nine tenths of it where Subscription
	// is set, and else DefaultTimeout.
	Timeout time.Duration

	// Concurrency is how many handlers run at once; further pushes are answered
	// with 429, which has Pub/Sub slow down. Zero means DefaultConcurrency. On
	// Cloud Run, the service's own concurrency should not be above it.
	Concurrency int

	// MaxMessageBytes bounds a message's body. Zero means
	// DefaultMaxMessageBytes, which is Pub/Sub's own limit.
	MaxMessageBytes int

	// Observers are told of every event, in this order, as
	// [consumer.Config.Observers] are. One that panics misses that event, which is
	// logged.
	//
	// [consumer.Config.Observers]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
	Observers []handler.Observer

	// Logger is told of refused requests, panics, and rejections that have
	// nowhere to go; never of a body or a token. Nil means slog.Default().
	Logger *slog.Logger

	// Name names this endpoint in the failure attributes of dead letters. Empty
	// means host name and process ID.
	Name string
}

// withDefaults returns a copy with every zero field filled in.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Subscription == nil {
		d.Subscription = &pubsub.PushSubscription{}
	}
	orDefault(&d.KeysURL, DefaultKeysURL)
	orDefault(&d.KeysInterval, DefaultKeysInterval)
	orDefault(&d.ClockSkew, DefaultClockSkew)
	orDefault(&d.Concurrency, DefaultConcurrency)
	orDefault(&d.MaxMessageBytes, DefaultMaxMessageBytes)
	if lease := d.Subscription.Capabilities().Lease; lease > 0 {
		orDefault(&d.Timeout, lease/10*9)
	}
	orDefault(&d.Timeout, DefaultTimeout)
	if d.KeysClient == nil {
		// Keys are fetched too seldom for a connection to be kept, which may have died.
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
		t.DisableKeepAlives = true
		d.KeysClient = &http.Client{Timeout: keysTimeout, Transport: t}
	}
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		d.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns every fault of a Config whose defaults are filled in.
func (c *Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Format > CloudEvents {
		fault("Format is %d: it is Wrapped, Unwrapped or CloudEvents", c.Format)
	}
	switch {
	case c.Insecure && len(c.Audiences)+len(c.Emails) > 0:
		fault("Insecure accepts every request, but Audiences or Emails are set: choose one")
	case !c.Insecure && len(c.Audiences) == 0:
		fault("Audiences is empty: name the audience of the subscription's push config, or set Insecure")
	case !c.Insecure && len(c.Emails) == 0:
		fault("Emails is empty: name the service account of the subscription's push config, or set Insecure")
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"Audiences", c.Audiences}, {"Emails", c.Emails}} {
		for i, v := range list.values {
			if v == "" {
				fault("%s[%d] is empty", list.name, i)
			}
		}
	}
	for _, f := range []struct {
		name           string
		value, longest time.Duration
	}{
		{"KeysInterval", c.KeysInterval, maxStale},
		{"ClockSkew", c.ClockSkew, maxClockSkew},
		{"Timeout", c.Timeout, maxTimeout},
	} {
		if f.value <= 0 || f.value > f.longest {
			fault("%s is %v: it must be above 0 and at most %v", f.name, f.value, f.longest)
		}
	}
	if lease := c.Subscription.Capabilities().Lease; lease > 0 && c.Timeout >= lease {
		fault("Timeout is %v: it must be below the ack deadline of %s, which is %v, or Pub/Sub pushes the message again meanwhile",
			c.Timeout, c.Subscription.Name(), lease)
	}
	if c.Concurrency < 1 {
		fault("Concurrency is %d: it must be at least 1", c.Concurrency)
	}
	if c.MaxMessageBytes < 1 {
		fault("MaxMessageBytes is %d: it must be at least 1", c.MaxMessageBytes)
	}
	for i, o := range c.Observers {
		if o == nil {
			fault("Observers[%d] is nil", i)
		}
	}
	return errors.Join(faults...)
}
