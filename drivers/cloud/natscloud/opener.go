// Package natscloud opens NATS subjects for drivers/cloud, by gocloud's driver
// for NATS. A subject is both ends of the queue; the sources of one queue group
// share its messages.
//
//	nats://orders?queue=workers&retry=republish
//	nats://orders?queue=workers&retry=republish&dead_letter=nats://orders.dead&natsv2
//
// The server is [Opener].URL, or the environment variable NATS_SERVER_URL, which
// gocloud reads too. With natsv2, metadata are NATS headers; without it, they are
// in the payload. All programs that share a subject must agree.
//
// gocloud uses core NATS, which delivers at most once: a message that is sent
// while no source is open is lost, and so are the messages of a process that
// crashes. NATS has no ack or nack, so a source's URL must define a retry: a copy
// that replaces the message (retry=republish), or nothing (retry=none). Closing a
// source sends copies of the messages that it holds.
//
// Everything else is as in package cloud.
package natscloud

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/natspubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
)

const (
	scheme = "nats"
	// envURL is the environment variable that names the server unless [Opener].URL
	// does.
	envURL = "NATS_SERVER_URL"
)

// An Opener opens NATS subjects. The zero Opener is ready to use: it connects at
// the first open, and everything that it opens shares the connection. Its methods
// may be called concurrently. It must not be copied.
type Opener struct {
	// URL is the server's. Empty means the value of the environment variable
	// NATS_SERVER_URL.
	URL string
	// Options are further options of the connection, such as credentials. They
	// come after the opener's own, which reconnect without end, ping every 15
	// seconds and buffer nothing while the connection is away.
	Options []nats.Option

	mu   sync.Mutex
	conn *nats.Conn
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes returns "nats".
func (*Opener) Schemes() []string { return []string{scheme} }

// OpenSource opens the subject that u names for receiving.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	return o.bridge().OpenSource(ctx, u, opts)
}

// OpenSink opens the subject that u names for sending.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	return o.bridge().OpenSink(ctx, u, opts)
}

// Close ends the connection. Sources and sinks should be closed before.
func (o *Opener) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		o.conn.Close()
		o.conn = nil
	}
	return nil
}

func (o *Opener) bridge() *cloud.Opener {
	mux := new(pubsub.URLMux)
	mux.RegisterTopic(scheme, dialer{o})
	mux.RegisterSubscription(scheme, dialer{o})
	return &cloud.Opener{Mux: mux, Providers: map[string]cloud.Provider{
		scheme: {System: scheme, NoNack: true, SameURL: true, Stop: drain, Check: o.check, Flush: flush},
	}}
}

// drain ends the interest in the subject, which gocloud's driver never does: the
// server would continue to send messages to a subscription that nobody reads.
// Messages that have arrived can still be received.
func drain(s *pubsub.Subscription) error {
	var ns *nats.Subscription
	if !s.As(&ns) {
		return errors.New("nats: gocloud does not expose its subscription")
	}
	if err := ns.Drain(); err != nil && !errors.Is(err, nats.ErrBadSubscription) && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("nats: drain the subscription: %w", err)
	}
	return nil
}

// check returns an error while the connection is down. gocloud's driver waits
// meanwhile, as if there were no messages.
func (o *Opener) check(*pubsub.Subscription) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil || o.conn.IsConnected() {
		return nil
	}
	if err := o.conn.LastError(); err != nil {
		return fmt.Errorf("nats: not connected (%v): %w", o.conn.Status(), err)
	}
	return fmt.Errorf("nats: not connected (%v)", o.conn.Status())
}

// The connection is reestablished without end: gocloud's topics and subscriptions
// can't be moved to another one. A peer that has died silently is detected in less
// than a minute.
const (
	pingEvery = 15 * time.Second
	pingsLost = 2
)

func (o *Opener) options() []nats.Option {
	own := []nats.Option{
		nats.MaxReconnects(-1), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsLost),
		// A send fails immediately meanwhile, instead of going out late.
		nats.ReconnectBufSize(-1),
	}
	return append(own, o.Options...)
}

// flush waits until the server has the messages: gocloud's driver returns once they
// are in the connection's buffer.
func flush(ctx context.Context, t *pubsub.Topic) error {
	var nc *nats.Conn
	if !t.As(&nc) {
		return errors.New("nats: gocloud does not expose its connection")
	}
	if _, ok := ctx.Deadline(); !ok { // FlushWithContext insists on one
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, nats.DefaultTimeout*5)
		defer cancel()
	}
	return nc.FlushWithContext(ctx)
}

// dialer connects at the first open.
type dialer struct{ o *Opener }

func (d dialer) opener(u *url.URL) (*natspubsub.URLOpener, error) {
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	if d.o.conn == nil || d.o.conn.IsClosed() {
		server := d.o.URL
		if server == "" {
			server = os.Getenv(envURL)
		}
		if server == "" {
			return nil, &drivers.Error{Code: drivers.Invalid, Queue: u.Host + u.Path, Op: "open", Err: errors.New("the NATS server is not known"),
				Remedy: "set " + envURL + ", as in nats://127.0.0.1:4222"}
		}
		conn, err := nats.Connect(server, d.o.options()...)
		if err != nil {
			return nil, &drivers.Error{Code: connectCode(err), Queue: u.Host + u.Path, Op: "connect", Err: err,
				Remedy: "check that the server that " + envURL + " names is running"}
		}
		d.o.conn = conn
	}
	v2 := u.Query().Has("natsv2") && u.Query().Get("natsv2") != "false"
	return &natspubsub.URLOpener{Connection: d.o.conn, UseV2: v2}, nil
}

func connectCode(err error) drivers.Code {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return drivers.Denied
	}
	return drivers.Transient
}

// OpenTopicURL implements pubsub.TopicURLOpener.
func (d dialer) OpenTopicURL(ctx context.Context, u *url.URL) (*pubsub.Topic, error) {
	o, err := d.opener(u)
	if err != nil {
		return nil, err
	}
	// The queue group is the receivers'. One URL serves both ends.
	topic, q := *u, u.Query()
	q.Del("queue")
	topic.RawQuery = q.Encode()
	return o.OpenTopicURL(ctx, &topic)
}

// OpenSubscriptionURL implements pubsub.SubscriptionURLOpener.
func (d dialer) OpenSubscriptionURL(ctx context.Context, u *url.URL) (*pubsub.Subscription, error) {
	o, err := d.opener(u)
	if err != nil {
		return nil, err
	}
	return o.OpenSubscriptionURL(ctx, u)
}
