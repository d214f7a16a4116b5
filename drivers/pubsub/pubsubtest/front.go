package pubsubtest

import (
	"context"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// pollEvery is how often a waiting Pull looks for a lease that has ended.
	// Other news wakes it immediately.
	pollEvery = 20 * time.Millisecond
	// longestPull bounds a Pull whose caller sets no deadline, as the service
	// does at about this.
	longestPull = 90 * time.Second
	// wayBack is how long before its caller's deadline a Pull answers with
	// nothing: gRPC drops an answer that is later than that, and the messages in
	// it would be in flight with nobody. Sluice's driver allows for this much.
	wayBack = time.Second
	// deadLetterTime is how the service writes a time in an attribute.
	deadLetterTime = "2006-01-02T15:04:05.000-07:00"
)

// A front stands before pstest's two services.
type front struct {
	fake  *pstest.Server
	peek  *peephole
	exact sync.Mutex      // makes check and act one step where delivery is exactly once
	acked map[string]bool // subscription and ack ID, where delivery is exactly once

	mu   sync.Mutex
	news chan struct{} // closed and replaced whenever a message may have become visible

	kept   retentions
	lasts  lastAttempts
	answer answers

	// publishing keeps messages from being published while a seek looks at the clock.
	publishing sync.RWMutex
}

func newFront(fake *pstest.Server, peek *peephole) *front {
	return &front{fake: fake, peek: peek, news: make(chan struct{}), acked: make(map[string]bool)}
}

func (f *front) gserver() *pstest.GServer { return &f.fake.GServer }

// announce wakes the waiting Pulls.
func (f *front) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.news)
	f.news = make(chan struct{})
}

func (f *front) hear() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

// publisher is the publisher service.
type publisher struct {
	*front
	pubsubpb.UnimplementedPublisherServer
}

func (p publisher) CreateTopic(ctx context.Context, t *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	return p.gserver().CreateTopic(ctx, t)
}

func (p publisher) UpdateTopic(ctx context.Context, r *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	return p.gserver().UpdateTopic(ctx, r)
}

func (p publisher) GetTopic(ctx context.Context, r *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return p.gserver().GetTopic(ctx, r)
}

func (p publisher) ListTopics(ctx context.Context, r *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	return p.gserver().ListTopics(ctx, r)
}

func (p publisher) ListTopicSubscriptions(ctx context.Context, r *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	return p.gserver().ListTopicSubscriptions(ctx, r)
}

func (p publisher) DeleteTopic(ctx context.Context, r *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	return p.gserver().DeleteTopic(ctx, r)
}

func (p publisher) DetachSubscription(ctx context.Context, r *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	return p.gserver().DetachSubscription(ctx, r)
}

func (p publisher) Publish(ctx context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	if err := checkPublish(r); err != nil {
		return nil, err
	}
	p.answer.expect(r.Messages)
	p.publishing.RLock()
	resp, err := p.gserver().Publish(ctx, r)
	p.publishing.RUnlock()
	p.announce()
	return resp, err
}

// subscriber is the subscriber service.
type subscriber struct {
	*front
	pubsubpb.UnimplementedSubscriberServer
}

func (s subscriber) CreateSubscription(ctx context.Context, r *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	short, long := s.kept.accept(r)
	sub, err := s.gserver().CreateSubscription(ctx, short)
	if err != nil {
		return nil, err
	}
	s.kept.remember(r.Name, long)
	return s.kept.restore(sub), nil
}

func (s subscriber) GetSubscription(ctx context.Context, r *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	sub, err := s.gserver().GetSubscription(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.kept.restore(sub), nil
}

func (s subscriber) UpdateSubscription(ctx context.Context, r *pubsubpb.UpdateSubscriptionRequest) (*pubsubpb.Subscription, error) {
	short, long := s.kept.accept(r.GetSubscription())
	sub, err := s.gserver().UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{Subscription: short, UpdateMask: r.GetUpdateMask()})
	if err != nil {
		return nil, err
	}
	if s.kept.sets(r) {
		s.kept.remember(r.Subscription.Name, long)
	}
	return s.kept.restore(sub), nil
}

func (s subscriber) ListSubscriptions(ctx context.Context, r *pubsubpb.ListSubscriptionsRequest) (*pubsubpb.ListSubscriptionsResponse, error) {
	resp, err := s.gserver().ListSubscriptions(ctx, r)
	for i, sub := range resp.GetSubscriptions() {
		resp.Subscriptions[i] = s.kept.restore(sub)
	}
	return resp, err
}

func (s subscriber) DeleteSubscription(ctx context.Context, r *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	return s.gserver().DeleteSubscription(ctx, r)
}

func (s subscriber) ModifyAckDeadline(ctx context.Context, r *pubsubpb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	if len(r.AckIds) == 0 || r.AckDeadlineSeconds < 0 || r.AckDeadlineSeconds > 600 {
		return nil, status.Error(codes.InvalidArgument, "the deadline must be from 0 to 600 seconds, for at least one ack ID")
	}
	defer s.announce()
	return s.exactly(ctx, r.Subscription, r.AckIds, false, func(ids []string) (*emptypb.Empty, error) {
		return s.modify(ctx, r.Subscription, ids, r.AckDeadlineSeconds)
	})
}

// modify sets ack deadlines.
func (f *front) modify(ctx context.Context, subscription string, ids []string, seconds int32) (*emptypb.Empty, error) {
	known, last := f.lasts.translate(subscription, ids)
	if len(last) > 0 {
		_, err := f.gserver().ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: subscription, AckIds: last, AckDeadlineSeconds: max(seconds, 1),
		})
		if err != nil || len(known) == 0 {
			return &emptypb.Empty{}, err
		}
	}
	return f.gserver().ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: subscription, AckIds: known, AckDeadlineSeconds: seconds,
	})
}

func (s subscriber) Acknowledge(ctx context.Context, r *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	if len(r.AckIds) == 0 {
		return nil, status.Error(codes.InvalidArgument, "at least one ack ID is needed")
	}
	// An ordered message may now let the next of its key out.
	defer s.announce()
	return s.exactly(ctx, r.Subscription, r.AckIds, true, func(ids []string) (*emptypb.Empty, error) {
		ids, last := s.lasts.translate(r.Subscription, ids)
		return s.gserver().Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.Subscription, AckIds: append(ids, last...)})
	})
}

// exactly carries out do for the ack IDs that hold a lease and answers for the
// others as the service does where delivery is exactly once: with an error that
// names each. Elsewhere do gets all of them, and stale ones pass in silence. An ack
// may be repeated.
func (f *front) exactly(ctx context.Context, subscription string, ids []string, ack bool,
	do func(ids []string) (*emptypb.Empty, error),
) (*emptypb.Empty, error) {
	for _, id := range ids {
		if id == "" || strings.ContainsRune(id, ' ') {
			return nil, status.Error(codes.InvalidArgument, "some ack IDs in the request are malformed")
		}
	}
	sub, err := f.gserver().GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: subscription})
	if err != nil {
		return nil, err
	}
	if !sub.EnableExactlyOnceDelivery {
		return do(ids)
	}
	f.exact.Lock()
	defer f.exact.Unlock()
	failed := make(map[string]string)
	for _, id := range f.lasts.stale(subscription, ids, f.peek) {
		if ack && f.acked[subscription+" "+id] {
			continue
		}
		failed[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
	}
	var good []string
	for _, id := range ids {
		if failed[id] == "" {
			good = append(good, id)
		}
	}
	if len(good) > 0 {
		if _, err := do(good); err != nil {
			return nil, err
		}
		for _, id := range good {
			if ack {
				f.acked[subscription+" "+id] = true
			}
		}
	}
	if len(failed) == 0 {
		return &emptypb.Empty{}, nil
	}
	st, err := status.New(codes.FailedPrecondition, "some acknowledgement IDs in the request were invalid").
		WithDetails(&errdetails.ErrorInfo{Reason: "EXACTLY_ONCE_ACKID_FAILURE", Domain: "pubsub.googleapis.com", Metadata: failed})
	if err != nil {
		return nil, err
	}
	return nil, st.Err()
}

func (s subscriber) Pull(ctx context.Context, r *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	if r.MaxMessages <= 0 {
		return nil, status.Error(codes.InvalidArgument, "max_messages must be greater than 0")
	}
	end := time.Now().Add(longestPull)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	for {
		news := s.hear() // before the look, so that nothing falls between
		resp, err := s.answer.fill(ctx, s.gserver(), r)
		if err != nil {
			return nil, err
		}
		if len(resp.ReceivedMessages) > 0 {
			s.lasts.note(r.Subscription, resp, s.front)
			if err := ctx.Err(); err != nil {
				s.giveBack(r.Subscription, resp.ReceivedMessages)
				return nil, status.FromContextError(err).Err()
			}
			return s.annotate(r.Subscription, resp), nil
		}
		left := time.Until(end) - wayBack
		if left <= 0 || r.ReturnImmediately { //nolint:staticcheck // clients may still send it
			return resp, nil
		}
		t := time.NewTimer(min(left, pollEvery))
		select {
		case <-news:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		t.Stop()
	}
}

// giveBack makes messages visible again whose caller has gone.
func (f *front) giveBack(subscription string, rms []*pubsubpb.ReceivedMessage) {
	ids := make([]string, len(rms))
	for i, rm := range rms {
		ids[i] = rm.AckId
	}
	// It fails only if the subscription is gone, and its messages with it.
	_, _ = f.modify(context.Background(), subscription, ids, 0)
	f.announce()
}

func (s subscriber) StreamingPull(stream pubsubpb.Subscriber_StreamingPullServer) error {
	return s.gserver().StreamingPull(&annotated{Subscriber_StreamingPullServer: stream, front: s.front})
}

func (s subscriber) Seek(ctx context.Context, r *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	target, ok := r.Target.(*pubsubpb.SeekRequest_Time)
	if !ok {
		return s.gserver().Seek(ctx, r)
	}
	// No message may have been published at or after the target: pstest would
	// bring it back without its content, and fall over it.
	s.publishing.Lock()
	defer s.publishing.Unlock()
	newest := time.Time{}
	for _, m := range s.fake.Messages() {
		if m.PublishTime.After(newest) {
			newest = m.PublishTime
		}
	}
	at := target.Time.AsTime()
	if !at.After(newest) {
		if time.Since(at) > time.Minute {
			return nil, status.Error(codes.Unimplemented, "this fake cannot seek back in time: it does not keep acknowledged messages")
		}
		at = newest.Add(time.Nanosecond) // "now", by a clock that is a little behind
	}
	defer s.announce()
	return s.gserver().Seek(ctx, &pubsubpb.SeekRequest{
		Subscription: r.Subscription, Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(at)},
	})
}

// annotated is a streaming pull whose responses are annotated.
type annotated struct {
	pubsubpb.Subscriber_StreamingPullServer
	front *front

	mu           sync.Mutex
	subscription string
}

func (a *annotated) Recv() (*pubsubpb.StreamingPullRequest, error) {
	r, err := a.Subscriber_StreamingPullServer.Recv()
	if r.GetSubscription() != "" {
		a.mu.Lock()
		a.subscription = r.GetSubscription()
		a.mu.Unlock()
	}
	return r, err
}

func (a *annotated) Send(r *pubsubpb.StreamingPullResponse) error {
	a.mu.Lock()
	sub := a.subscription
	a.mu.Unlock()
	out := &pubsubpb.StreamingPullResponse{SubscriptionProperties: r.SubscriptionProperties}
	out.ReceivedMessages = a.front.annotate(sub, &pubsubpb.PullResponse{ReceivedMessages: r.ReceivedMessages}).ReceivedMessages
	return a.Subscriber_StreamingPullServer.Send(out)
}

// annotate gives the messages that were forwarded to a dead-letter topic a new
// message ID and the attributes that the service gives them. pstest forwards a
// message as it is, so it is known by having been published to another topic.
func (f *front) annotate(subscription string, resp *pubsubpb.PullResponse) *pubsubpb.PullResponse {
	var topic string
	out := resp
	for i, rm := range resp.ReceivedMessages {
		m := f.fake.Message(rm.GetMessage().GetMessageId())
		if m == nil {
			continue
		}
		if topic == "" {
			sub, err := f.gserver().GetSubscription(context.Background(), &pubsubpb.GetSubscriptionRequest{Subscription: subscription})
			if err != nil {
				return resp
			}
			topic = sub.Topic
		}
		if m.Topic == topic {
			continue
		}
		if out == resp {
			out = &pubsubpb.PullResponse{ReceivedMessages: append([]*pubsubpb.ReceivedMessage(nil), resp.ReceivedMessages...)}
		}
		letter := proto.CloneOf(rm)
		letter.Message.MessageId += "-" + path.Base(topic)
		out.ReceivedMessages[i] = letter
		from := f.forwarder(m.Topic, topic)
		if from == nil {
			continue
		}
		if letter.Message.Attributes == nil {
			letter.Message.Attributes = make(map[string]string, 4)
		}
		parts := strings.Split(from.Name, "/")
		a := letter.Message.Attributes
		a["CloudPubSubDeadLetterSourceDeliveryCount"] = strconv.Itoa(int(from.DeadLetterPolicy.MaxDeliveryAttempts))
		a["CloudPubSubDeadLetterSourceSubscription"] = parts[len(parts)-1]
		a["CloudPubSubDeadLetterSourceSubscriptionProject"] = parts[1]
		a["CloudPubSubDeadLetterSourceTopicPublishTime"] = m.PublishTime.UTC().Format(deadLetterTime)
	}
	return out
}

// forwarder finds the subscription of one topic that forwards to another. Where
// several do, which of them it was is not known, and the first by name is taken.
func (f *front) forwarder(from, to string) *pubsubpb.Subscription {
	all, err := f.gserver().ListSubscriptions(context.Background(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/"})
	if err != nil {
		return nil
	}
	for _, sub := range all.Subscriptions {
		if sub.Topic == from && sub.GetDeadLetterPolicy().GetDeadLetterTopic() == to && strings.Count(sub.Name, "/") == 3 {
			return sub
		}
	}
	return nil
}
