package pubsubtest

import (
	"context"
	"strings"
	"sync"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// policies keeps the access policies of topics and subscriptions and does not
// enforce them.
type policies struct {
	*front
	iampb.UnimplementedIAMPolicyServer

	mu  sync.Mutex
	set map[string]*iampb.Policy
}

// exists returns an error if the resource does not exist.
func (p *policies) exists(ctx context.Context, resource string) (err error) {
	if strings.Contains(resource, "/topics/") {
		_, err = p.gserver().GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: resource})
	} else {
		_, err = p.gserver().GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: resource})
	}
	return err
}

func (p *policies) GetIamPolicy(ctx context.Context, r *iampb.GetIamPolicyRequest) (*iampb.Policy, error) {
	if err := p.exists(ctx, r.Resource); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.set[r.Resource]; found != nil {
		return proto.CloneOf(found), nil
	}
	return &iampb.Policy{Etag: []byte{0}}, nil
}

func (p *policies) SetIamPolicy(ctx context.Context, r *iampb.SetIamPolicyRequest) (*iampb.Policy, error) {
	if err := p.exists(ctx, r.Resource); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	etag := []byte{0}
	if found := p.set[r.Resource]; found != nil {
		etag = found.Etag
	}
	if len(r.GetPolicy().GetEtag()) > 0 && string(r.Policy.Etag) != string(etag) {
		return nil, status.Error(codes.Aborted, "the policy was changed since it was read")
	}
	if p.set == nil {
		p.set = make(map[string]*iampb.Policy)
	}
	policy := proto.CloneOf(r.Policy)
	policy.Etag = []byte{etag[0] + 1}
	p.set[r.Resource] = policy
	return proto.CloneOf(policy), nil
}

// TestIamPermissions grants all permissions that it is asked for, and none,
// without an error, on a resource that does not exist, as the service does.
func (p *policies) TestIamPermissions(ctx context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	granted := &iampb.TestIamPermissionsResponse{}
	if p.exists(ctx, r.Resource) == nil {
		granted.Permissions = r.Permissions
	}
	return granted, nil
}
