// Package pubsubtest is a Pub/Sub server on the loopback interface, for tests and
// for `sluice dev`. It puts a gRPC server before Google's own in-process fake,
// cloud.google.com/go/pubsub/v2/pstest, and adds behaviour of the real service that
// pstest lacks:
//
//   - the limits of a publish request (one ordering key a request, attribute
//     sizes, no empty message, 1,000 messages, 10 MB);
//   - a Pull that waits for a message instead of half a second, and that leases no
//     more than its answer has room for;
//   - the dead-letter attributes and the new message ID of a natively forwarded
//     message;
//   - with exactly-once delivery, errors for acks and extensions by a stale ack ID;
//   - the backlog metrics of Cloud Monitoring, from the fake's true state;
//   - access policies, which are kept and not enforced;
//   - faults on demand, and a count of the calls.
//
// It shares these differences between pstest and the real service: retry policies
// are ignored, messages live ten minutes at most, all subscriptions of a topic
// share one delivery counter, which continues in a dead-letter topic, a changed
// ack deadline applies to new subscriptions only, snapshots and seeking back in
// time are missing, and ack deadlines below ten seconds are accepted (which tests
// use).
package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxMessage is how large a request may be: the service's 10 MB and room for
// the framing. gRPC's own default of 4 MiB would refuse legal messages.
const maxMessage = 16 << 20

// A Server is a running fake. Its methods may be called concurrently.
type Server struct {
	fake  *pstest.Server
	peek  *peephole
	grpc  *grpc.Server
	addr  string
	ended chan struct{}

	faults faults
	once   sync.Once
}

// Start starts a fake that listens on addr, such as "127.0.0.1:8085". An empty
// addr means a free port of 127.0.0.1. Start returns an error if the address is
// taken.
func Start(addr string) (*Server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the Pub/Sub fake: %w", err)
	}
	s := New()
	s.Serve(l)
	return s, nil
}

// New returns a fake that does not listen yet. It must be made outside of a
// testing/synctest bubble, since Google's fake listens on a port of its own; what
// follows may be inside of one.
func New() *Server {
	peek := &peephole{}
	// pstest insists on a listener of its own, whose address nobody gets.
	fake := pstest.NewServerWithAddress("127.0.0.1:0", pstest.ServerReactorOption{FuncName: peepholeCall, Reactor: peek})
	peek.of = &fake.GServer
	return &Server{fake: fake, peek: peek}
}

// Serve has s listen on l, such as an in-memory listener. It is called once, and
// does not block.
func (s *Server) Serve(l net.Listener) {
	fake, peek := s.fake, s.peek
	s.addr, s.ended = l.Addr().String(), make(chan struct{})
	f := newFront(fake, peek)
	late := &unsent{front: f}
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.StatsHandler(late),
		grpc.ChainUnaryInterceptor(late.unary, s.faults.unary), grpc.ChainStreamInterceptor(s.faults.stream),
	)
	pubsubpb.RegisterPublisherServer(s.grpc, publisher{front: f})
	pubsubpb.RegisterSubscriberServer(s.grpc, subscriber{front: f})
	pubsubpb.RegisterSchemaServiceServer(s.grpc, &fake.GServer)
	iampb.RegisterIAMPolicyServer(s.grpc, &policies{front: f})
	monitoringpb.RegisterMetricServiceServer(s.grpc, metrics{peek: peek})
	// Alert policies are not kept. A test may answer for them by a fault.
	monitoringpb.RegisterAlertPolicyServiceServer(s.grpc, monitoringpb.UnimplementedAlertPolicyServiceServer{})
	go func() {
		defer close(s.ended)
		// Serve ends without an error when Close stops the server. There is no
		// one to report others to: clients see a lost connection.
		_ = s.grpc.Serve(l)
	}()
}

// Addr is the address that the fake listens on, as host:port. It is the value
// for PUBSUB_EMULATOR_HOST.
func (s *Server) Addr() string { return s.addr }

// Fake is Google's fake behind the server, for its clock and for the record of
// messages that it keeps.
func (s *Server) Fake() *pstest.Server { return s.fake }

// Close stops the fake and discards its messages. Calls in flight end with
// codes.Unavailable. A second call does nothing.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		s.grpc.Stop()
		<-s.ended
		err = s.fake.Close()
		s.fake.Wait()
	})
	return err
}

// A Queue describes a topic and its one subscription of the same name.
type Queue struct {
	// Project and ID name the topic projects/Project/topics/ID and the
	// subscription projects/Project/subscriptions/ID.
	Project, ID string
	// AckDeadlineSeconds is the lease. Zero means 10.
	AckDeadlineSeconds int32
	// MaxAttempts, if it is not zero, adds a dead-letter policy with the topic
	// ID-dlq and the subscription ID-dlq on it.
	MaxAttempts int32
	Ordered     bool
	ExactlyOnce bool
	// Filter is the subscription's filter; empty lets everything through.
	Filter string
}

// Topic returns the topic's full name.
func (q Queue) Topic() string { return "projects/" + q.Project + "/topics/" + q.ID }

// Subscription returns the subscription's full name.
func (q Queue) Subscription() string { return "projects/" + q.Project + "/subscriptions/" + q.ID }

// DeadLetter returns the queue that the dead-letter policy forwards to.
func (q Queue) DeadLetter() Queue { return Queue{Project: q.Project, ID: q.ID + "-dlq"} }

// Create creates a queue, and its dead-letter queue if MaxAttempts is set.
func (s *Server) Create(ctx context.Context, q Queue) error { return Create(ctx, &s.fake.GServer, q) }

// Create creates a queue on a fake of Google's without a Server around it.
func Create(ctx context.Context, on *pstest.GServer, q Queue) error {
	var policy *pubsubpb.DeadLetterPolicy
	if q.MaxAttempts > 0 {
		dead := q.DeadLetter()
		if err := create(ctx, on, dead, nil); err != nil {
			return err
		}
		policy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: dead.Topic(), MaxDeliveryAttempts: q.MaxAttempts}
	}
	return create(ctx, on, q, policy)
}

func create(ctx context.Context, on *pstest.GServer, q Queue, policy *pubsubpb.DeadLetterPolicy) error {
	if _, err := on.CreateTopic(ctx, &pubsubpb.Topic{Name: q.Topic()}); err != nil {
		return fmt.Errorf("create topic %s: %w", q.Topic(), err)
	}
	_, err := on.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: q.Subscription(), Topic: q.Topic(),
		AckDeadlineSeconds:        q.AckDeadlineSeconds,
		EnableMessageOrdering:     q.Ordered,
		EnableExactlyOnceDelivery: q.ExactlyOnce,
		DeadLetterPolicy:          policy,
		Filter:                    q.Filter,
	})
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", q.Subscription(), err)
	}
	return nil
}

// Delete deletes a queue, and its dead-letter queue if MaxAttempts is set. Each
// subscription of the fake costs a little time a hundred times a second, so
// tests that create many should delete them. A queue that does not exist is not
// an error.
func (s *Server) Delete(ctx context.Context, q Queue) error {
	on := &s.fake.GServer
	_, err := on.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: q.Subscription()})
	_, err2 := on.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: q.Topic()})
	for _, err := range []error{err, err2} {
		if err != nil && status.Code(err) != codes.NotFound {
			return fmt.Errorf("delete queue %s: %w", q.ID, err)
		}
	}
	if q.MaxAttempts > 0 {
		return s.Delete(ctx, q.DeadLetter())
	}
	return nil
}

// Depth counts the messages of a subscription, without touching them.
func (s *Server) Depth(subscription string) (Depth, error) {
	d, ok := s.peek.depth(subscription)
	if !ok {
		return Depth{}, errors.New("no such subscription: " + subscription)
	}
	return d, nil
}

// SetFault puts f in front of every unary call; nil removes it. Streams are
// unaffected.
func (s *Server) SetFault(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.fault = f
}

// Calls returns how often a method, such as "Pull", was called. An empty method
// means all of them.
func (s *Server) Calls(method string) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if method != "" {
		return s.faults.calls[method]
	}
	n := 0
	for _, c := range s.faults.calls {
		n += c
	}
	return n
}
