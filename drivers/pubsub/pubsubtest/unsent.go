package pubsubtest

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// unsent releases the messages of responses to Pulls that could not be sent. gRPC
// drops an answer that misses its caller's deadline, as it may on a busy machine,
// and the messages in it would be in flight with nobody until their lease ends. An
// answer that a [Fault] has lost stays lost.
type unsent struct{ front *front }

type unsentKey struct{}

// answered is the answer to a Pull, once there is one.
type answered struct {
	subscription string
	messages     []*pubsubpb.ReceivedMessage
}

// unary records the response that is about to be sent.
func (u *unsent) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if pulled, ok := resp.(*pubsubpb.PullResponse); ok && err == nil {
		a := ctx.Value(unsentKey{}).(*answered)
		a.subscription, a.messages = req.(*pubsubpb.PullRequest).Subscription, pulled.ReceivedMessages
	}
	return resp, err
}

// TagRPC implements [stats.Handler].
func (u *unsent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, unsentKey{}, new(answered))
}

// HandleRPC implements [stats.Handler]. The end of a call comes after its answer, on
// the same goroutine.
func (u *unsent) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	if !ok || end.Error == nil {
		return
	}
	if a := ctx.Value(unsentKey{}).(*answered); len(a.messages) > 0 {
		u.front.giveBack(a.subscription, a.messages)
	}
}

// TagConn implements [stats.Handler].
func (u *unsent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (u *unsent) HandleConn(context.Context, stats.ConnStats) {}
