// Package fastpubsub is a fake of Pub/Sub for benchmarks: one topic and one
// subscription in memory, served as fast as gRPC allows. It has what clients call
// when they publish and consume, by unary Pull and by StreamingPull. Leases do not
// end, there is no order and no dead-lettering: package pstest has those, and by
// its streaming hands out so few messages a second that a benchmark would measure
// it alone.
package fastpubsub

import (
	"context"
	"path"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The names of the topic and the subscription, which are there from the start.
const (
	Project      = "bench"
	Topic        = "projects/bench/topics/orders"
	Subscription = "projects/bench/subscriptions/orders"
)

const (
	ackDeadline = 60 // seconds
	// patience is how long a Pull of an empty subscription waits.
	patience = 20 * time.Second
	// streamed is how many messages one answer of a stream has at most.
	streamed = 100
)

// A Server is the fake. Its methods are safe for concurrent use.
type Server struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer

	mu      sync.Mutex
	ready   []*pubsubpb.ReceivedMessage
	out     map[string]*pubsubpb.ReceivedMessage
	next    int
	arrived chan struct{} // closed when messages come; nil if no one waits
	calls   map[string]int
}

// New returns a fake with an empty topic.
func New() *Server {
	return &Server{out: make(map[string]*pubsubpb.ReceivedMessage), calls: make(map[string]int)}
}

// Register registers the fake's services.
func (s *Server) Register(g *grpc.Server) {
	pubsubpb.RegisterPublisherServer(g, s)
	pubsubpb.RegisterSubscriberServer(g, s)
}

// Count is a [grpc.UnaryServerInterceptor] that counts calls by method.
func (s *Server) Count(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	s.calls[path.Base(info.FullMethod)]++
	s.mu.Unlock()
	return handler(ctx, req)
}

// GetTopic implements the service. The topic's labels are what Count has counted.
func (s *Server) GetTopic(context.Context, *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &pubsubpb.Topic{Name: Topic, Labels: make(map[string]string, len(s.calls))}
	for method, n := range s.calls {
		t.Labels[method] = strconv.Itoa(n)
	}
	return t, nil
}

// GetSubscription implements the service.
func (s *Server) GetSubscription(context.Context, *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	return &pubsubpb.Subscription{Name: Subscription, Topic: Topic, AckDeadlineSeconds: ackDeadline}, nil
}

// Publish implements the service.
func (s *Server) Publish(_ context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	now := timestamppb.Now()
	ids := make([]string, len(r.Messages))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range r.Messages {
		s.next++
		ids[i] = strconv.Itoa(s.next)
		m.MessageId, m.PublishTime = ids[i], now
		s.ready = append(s.ready, &pubsubpb.ReceivedMessage{AckId: "ack-" + ids[i], Message: m})
	}
	s.announce()
	return &pubsubpb.PublishResponse{MessageIds: ids}, nil
}

// announce wakes who waits. s.mu is held.
func (s *Server) announce() {
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
}

// take waits for messages, and hands out up to most.
func (s *Server) take(ctx context.Context, most int) []*pubsubpb.ReceivedMessage {
	for {
		s.mu.Lock()
		if n := min(most, len(s.ready)); n > 0 {
			ms := s.ready[:n:n]
			s.ready = s.ready[n:]
			for _, m := range ms {
				s.out[m.AckId] = m
			}
			s.mu.Unlock()
			return ms
		}
		if s.arrived == nil {
			s.arrived = make(chan struct{})
		}
		arrived := s.arrived
		s.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil
		}
	}
}

// Pull implements the service.
func (s *Server) Pull(ctx context.Context, r *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	if r.MaxMessages < 1 {
		return nil, status.Error(codes.InvalidArgument, "max_messages must be positive")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return &pubsubpb.PullResponse{ReceivedMessages: s.take(ctx, int(r.MaxMessages))}, nil
}

// StreamingPull implements the service. It heeds the stream's bound on
// outstanding messages roughly: by how much it puts into one answer.
func (s *Server) StreamingPull(g pubsubpb.Subscriber_StreamingPullServer) error {
	first, err := g.Recv()
	if err != nil {
		return err
	}
	most := streamed
	if n := int(first.MaxOutstandingMessages); n > 0 {
		most = min(most, n)
	}
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	go func() { // the client's half: acks, and its end
		defer cancel()
		for {
			r, err := g.Recv()
			if err != nil {
				return
			}
			s.settle(r.AckIds, false)
		}
	}()
	for {
		ms := s.take(ctx, most)
		if len(ms) == 0 {
			return nil
		}
		if err := g.Send(&pubsubpb.StreamingPullResponse{ReceivedMessages: ms}); err != nil {
			return err
		}
	}
}

// Acknowledge implements the service.
func (s *Server) Acknowledge(_ context.Context, r *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	s.settle(r.AckIds, false)
	return &emptypb.Empty{}, nil
}

// ModifyAckDeadline implements the service: a deadline of zero gives messages
// back, any other changes nothing.
func (s *Server) ModifyAckDeadline(_ context.Context, r *pubsubpb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	if r.AckDeadlineSeconds == 0 {
		s.settle(r.AckIds, true)
	}
	return &emptypb.Empty{}, nil
}

func (s *Server) settle(ids []string, back bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if m := s.out[id]; m != nil && back {
			s.ready = append(s.ready, m)
		}
		delete(s.out, id)
	}
	if back {
		s.announce()
	}
}

// Seek implements the service: it drops all messages, whatever the time.
func (s *Server) Seek(context.Context, *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = nil
	clear(s.out)
	return &pubsubpb.SeekResponse{}, nil
}
