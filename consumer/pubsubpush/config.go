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

// googleKeys is the URL of the keys with which Google signs ID tokens, as JWKs.
const googleKeys = "https://www.googleapis.com/oauth2/v3/certs"

// maxClockSkew bounds Config.ClockSkew: tokens are valid for an hour.
const maxClockSkew = 5 * time.Minute

// maxTimeout is the longest ack deadline of a subscription, and so the longest time
// that the service waits for an answer.
const maxTimeout = 600 * time.Second

// A Format is the form of a message in a request. It must be the one that the
// subscription or the trigger is configured for. It is never guessed from the request:
// a publisher chooses the body, and could forge the metadata.
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
	// Format is the form of the message in the request. Zero means Wrapped.
	Format Format

	// Subscription is the subscription that pushes, opened by
	// [pubsub.Opener.OpenPush]. It provides the dead-letter topic for rejected
	// messages and the default of Timeout, and pushes from other subscriptions are
	// refused. Nil means that the subscription is not known. The caller must close
	// it, after the server.
	Subscription *pubsub.PushSubscription

	// DeadLetter receives rejected messages instead of the subscription's
	// dead-letter topic. Nil means that topic. The caller must close it.
	DeadLetter drivers.Sink

	// Audiences are the permitted audiences of a token, usually the audience in
	// the subscription's push config. Its default is the endpoint's URL as
	// configured there. A token that has another audience too is refused.
	Audiences []string

	// Emails are the service accounts that may push, usually the account of the
	// subscription's or the trigger's push authentication.
	Emails []string

	// Insecure accepts every request, with any token or none. Use it on a
	// developer's machine, or behind a front end that admits only the pushing
	// account, such as Cloud Run with required authentication if no other account
	// has roles/run.invoker. The package documentation describes when it is needed
	// there.
	Insecure bool

	// KeysURL is the URL of the JWK set with the keys that sign tokens. Empty means
	// Google's.
	KeysURL string

	// KeysInterval is the shortest time between two requests for the keys, whatever
	// tokens arrive. Zero means a minute. A new key may be refused for that long;
	// the service pushes again.
	KeysInterval time.Duration

	// KeysClient makes these requests. Nil means a client with a timeout of 5
	// seconds and a new connection for each request.
	KeysClient *http.Client

	// ClockSkew is the tolerated difference to the signer's clock, at most 5
	// minutes. Zero means a minute.
	ClockSkew time.Duration

	// Timeout bounds the run of a handler. It must be below the subscription's ack
	// deadline, at which Pub/Sub pushes the message again, and which is at most 600
	// seconds. Zero means nine tenths of that deadline if Subscription is set, and
	// 9 seconds otherwise.
	Timeout time.Duration

	// Concurrency bounds the handlers that run concurrently. Further pushes are
	// answered with 429, which makes Pub/Sub slow down. Zero means 80. On Cloud Run
	// it should be at least the service's own concurrency.
	Concurrency int

	// MaxMessageBytes is the size of the largest message body. Zero means 10,000,000,
	// which is Pub/Sub's own limit.
	MaxMessageBytes int

	// Observers receive every event, in this order, like
	// [consumer.Config.Observers]. If one panics, that is logged, and it misses the
	// event.
	//
	// [consumer.Config.Observers]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
	Observers []handler.Observer

	// Logger receives refused requests, panics, and rejections without a dead-letter
	// topic, but never a body or a token. Nil means slog.Default().
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
		// Requests are rare: a connection kept between them may have died.
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
