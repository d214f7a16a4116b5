package pubsub

import (
	"context"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	monitoring "cloud.google.com/go/monitoring/apiv3/v2"
	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/internal/protocol"
)

// system is OpenTelemetry's messaging.system for Pub/Sub.
const system = "gcp_pubsub"

// once disables the SDK's own retries, which would go on unnoticed for up to a
// minute: the runtime retries, backs off and reports.
var once = gax.WithRetry(nil)

// bounded gives a request its deadline, unless the context has one. The SDK does so
// itself, except for access policies.
var bounded = gax.WithTimeout(openTimeout)

// logAnswers is the environment variable that makes the SDK log requests and answers.
const logAnswers = "GOOGLE_SDK_GO_LOGGING_LEVEL"

// Clients are the SDK's clients that a source or a sink uses. They remain the
// caller's, who must close them after the source or the sink.
type Clients struct {
	// Subscriptions receives, acknowledges and extends. A sink on a topic does
	// not need it.
	Subscriptions *apiv1.SubscriptionAdminClient
	// Topics publishes. Required.
	Topics *apiv1.TopicAdminClient
	// Metrics reads the backlog from Cloud Monitoring, for Depth. Nil means a
	// client with the Application Default Credentials, created when it is first
	// needed.
	Metrics *monitoring.MetricClient
}

// clients are the clients of a source or a sink, and of the sources and sinks that
// were opened from it.
type clients struct {
	subscriptions *apiv1.SubscriptionAdminClient
	topics        *apiv1.TopicAdminClient
	options       []option.ClientOption // for the metric client

	// emulated reports whether PUBSUB_EMULATOR_HOST is set.
	emulated bool

	// private reports whether nothing but the driver can read answers: the connection has
	// no interceptors and no codec of the program's, and the SDK does not log.
	private bool

	users atomic.Int32
	conn  *grpc.ClientConn // the only connection; nil if the caller owns the clients

	metricsMu  sync.Mutex
	metrics    *monitoring.MetricClient
	ownMetrics bool
	noMetrics  atomic.Bool // the emulator has none
}

func emulatorHost() string {
	host := os.Getenv("PUBSUB_EMULATOR_HOST")
	host = strings.TrimPrefix(host, "http://")
	return strings.TrimSuffix(host, "/")
}

// keepAlive detects a dead connection, which is then replaced, within 40 seconds: a
// connection on which nothing arrived for Time while a call waits is pinged. On Linux
// the timeout also bounds the time for which sent data may stay unacknowledged.
//
// A server may refuse clients that ping more often than every five minutes without
// data in between (gRPC's too_many_pings). A Pull is answered within 20 seconds, so
// that a live server gets at most one ping between two answers, and gRPC servers
// tolerate two.
var keepAlive = keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 15 * time.Second}

// dial makes clients with one connection. With several, a waiting Pull could not
// distinguish an idle queue from a lost connection; and one HTTP/2 connection carries
// a hundred concurrent calls.
func dial(ctx context.Context, on name, endpoint string, opts []option.ClientOption) (*clients, error) {
	var err error
	host := emulatorHost()
	c := &clients{options: opts, emulated: host != ""}
	c.private = (c.emulated || len(opts) == 0) && os.Getenv(logAnswers) == "" && protocol.Usable()
	if c.emulated {
		conn, err := toEmulator(host)
		if err != nil {
			return nil, invalid(on, "open", err)
		}
		opts = []option.ClientOption{option.WithGRPCConn(conn), option.WithoutAuthentication(), option.WithTelemetryDisabled()}
	} else {
		opts = append(opts[:len(opts):len(opts)], option.WithGRPCConnectionPool(1),
			option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepAlive)))
		if endpoint != "" {
			opts = append(opts, option.WithEndpoint(endpoint))
		}
	}
	if c.subscriptions, err = apiv1.NewSubscriptionAdminClient(ctx, opts...); err == nil {
		c.topics, err = apiv1.NewTopicAdminClient(ctx, option.WithGRPCConn(c.connection()))
	}
	if err != nil {
		// Nothing was sent yet: the credentials failed.
		return nil, drivers.Wrap(ctx, drivers.Denied, on.String(), "open", err,
			"run gcloud auth application-default login, set GOOGLE_APPLICATION_CREDENTIALS, or set PUBSUB_EMULATOR_HOST for an emulator")
	}
	c.conn = c.connection()
	c.users.Store(1)
	return c, nil
}

// toEmulator connects to an emulator, with additional options.
func toEmulator(host string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+host, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepAlive),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}, more...)...)
}

// borrow wraps the caller's own clients.
func (c Clients) borrow() *clients {
	b := &clients{subscriptions: c.Subscriptions, topics: c.Topics, metrics: c.Metrics, emulated: emulatorHost() != ""}
	b.users.Store(1)
	return b
}

// share adds a user to the connection, who must release it.
func (c *clients) share() *clients {
	c.users.Add(1)
	return c
}

// release closes the connection if no other user has it.
func (c *clients) release() error {
	if c.users.Add(-1) > 0 {
		return nil
	}
	c.metricsMu.Lock()
	defer c.metricsMu.Unlock()
	if c.ownMetrics {
		_ = c.metrics.Close() // it has only read
	}
	if c.conn != nil {
		return c.conn.Close()
	}
	return nil
}

// connection returns the connection to Pub/Sub, or one of several if the clients are
// the caller's.
func (c *clients) connection() *grpc.ClientConn {
	if c.subscriptions != nil {
		return c.subscriptions.Connection() //nolint:staticcheck // deprecated since a pool may have several; ours has one
	}
	return c.topics.Connection() //nolint:staticcheck // as above; for its address, all are the same
}

// address returns the host name and the port of the endpoint.
func (c *clients) address() string {
	conn := c.connection()
	if conn == nil {
		return ""
	}
	target := conn.Target()
	return target[strings.LastIndex(target, "/")+1:] // dns:///host:port
}

// server returns the host name of the endpoint.
func (c *clients) server() string {
	target := c.address()
	if host, _, err := net.SplitHostPort(target); err == nil {
		return host
	}
	return target
}
