package pubsubpush

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// googleKeys is where Google publishes the keys that it signs ID tokens with, as JWKs.
const googleKeys = "https://www.googleapis.com/oauth2/v3/certs"

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
	// Empty means Google's.
	KeysURL string

	// KeysInterval is the shortest time between two requests for the keys,
	// whatever tokens come. Zero means a minute. For so long a key
	// that is quite new may be refused; the service pushes again.
	KeysInterval time.Duration

	// KeysClient makes these requests. Nil means a client of its own with a
	// timeout of 5 seconds and a new connection for each request.
	KeysClient *http.Client

	// ClockSkew is how far the signer's clock may be off. Zero means
	// a minute; it is at most 5 minutes.
	ClockSkew time.Duration

	// Timeout is how long a handler may take. It must be below the
	// subscription's ack deadline, at which Pub/Sub pushes the message again,
	// and which is at most 600 s. Zero means nine tenths of it where Subscription
	// is set, and else 9 seconds.
	Timeout time.Duration

	// Concurrency is how many handlers run at once; further pushes are answered
	// with 429, which has Pub/Sub slow down. Zero means 80. On
	// Cloud Run, the service's own concurrency should not be above it.
	Concurrency int

	// MaxMessageBytes bounds a message's body. Zero means
	// 10,000,000, which is Pub/Sub's own limit.
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

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	if d.Subscription == nil {
		d.Subscription = &pubsub.PushSubscription{}
	}
	d.KeysURL = cmp.Or(d.KeysURL, googleKeys)
	if d.KeysClient == nil {
		// Keys are fetched too seldom for a connection to be kept, which may have died.
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
		t.DisableKeepAlives = true
		d.KeysClient = &http.Client{Timeout: keysTimeout, Transport: t}
	}
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		d.Name = verdict.ProcessName()
	}
	lease := d.Subscription.Capabilities().Lease
	timeout := 9 * time.Second // below the ack deadline of a subscription that states none
	if lease > 0 {
		timeout = lease / 10 * 9
	}
	faults := []error{
		setting.Refuse(d.Format > CloudEvents, "Format is %d: it must be Wrapped, Unwrapped or CloudEvents", d.Format),
		d.trust(),
		setting.Range("KeysInterval", &d.KeysInterval, 0, maxStale, time.Minute),
		setting.Range("ClockSkew", &d.ClockSkew, 0, maxClockSkew, time.Minute),
		setting.Range("Timeout", &d.Timeout, 0, maxTimeout, timeout),
		setting.Default("Concurrency", &d.Concurrency, 80),
		setting.Default("MaxMessageBytes", &d.MaxMessageBytes, 10_000_000),
		setting.NotNil("Observers", d.Observers),
	}
	return d, errors.Join(append(faults,
		setting.Refuse(lease > 0 && d.Timeout >= lease, "Timeout is %v: it must be below the ack deadline of %s, which is %v, or Pub/Sub pushes the message again meanwhile",
			d.Timeout, d.Subscription.Name(), lease),
	)...)
}

// trust returns the faults of the fields that choose whose requests are accepted.
func (c *Config) trust() error {
	open := c.Insecure
	faults := []error{
		setting.Refuse(open && len(c.Audiences)+len(c.Emails) > 0, "Insecure accepts every request, but Audiences or Emails are set: choose one"),
		setting.Refuse(!open && len(c.Audiences) == 0, "Audiences is empty: name the audience of the subscription's push config, or set Insecure"),
		setting.Refuse(!open && len(c.Audiences) > 0 && len(c.Emails) == 0, "Emails is empty: name the service account of the subscription's push config, or set Insecure"),
	}
	for i, v := range c.Audiences {
		faults = append(faults, setting.Refuse(v == "", "Audiences[%d] is empty", i))
	}
	for i, v := range c.Emails {
		faults = append(faults, setting.Refuse(v == "", "Emails[%d] is empty", i))
	}
	return errors.Join(faults...)
}
