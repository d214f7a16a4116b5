package pubsub

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// Native dead-lettering is done by an account of Google's, the project's service
// agent for Pub/Sub, which needs a right on either side.
const (
	rolePublisher  = "roles/pubsub.publisher"
	roleSubscriber = "roles/pubsub.subscriber"
)

// policyVersion is the version of access policies that has conditions. Asking for
// less would lose them when the policy is written back.
const policyVersion = 3

var (
	// errNoPolicies means that an emulator has no access policies, and needs none.
	errNoPolicies = errors.New("no access policies here")
	anyAgent      = regexp.MustCompile(`^serviceAccount:service-\d+@gcp-sa-pubsub\.iam\.gserviceaccount\.com$`)
)

// agent is a project's service agent as a member of an access policy.
func agent(number string) string {
	return "serviceAccount:service-" + number + "@gcp-sa-pubsub.iam.gserviceaccount.com"
}

// resourceManager is the service that knows the projects' numbers. An endpoint
// among the options is Pub/Sub's.
const resourceManager = "https://cloudresourcemanager.googleapis.com/"

func lookUpNumber(ctx context.Context, project string, opts ...option.ClientOption) (string, error) {
	return askNumber(ctx, project, append(slices.Clip(opts), option.WithEndpoint(resourceManager))...)
}

func askNumber(ctx context.Context, project string, opts ...option.ClientOption) (string, error) {
	s, err := cloudresourcemanager.NewService(ctx, opts...)
	if err != nil {
		return "", fmt.Errorf("the number of project %s: %w", project, err)
	}
	p, err := s.Projects.Get("projects/" + project).Context(ctx).Do()
	if err != nil {
		return "", fmt.Errorf("the number of project %s: %w", project, err)
	}
	number, ok := strings.CutPrefix(p.Name, "projects/")
	if !ok || number == "" {
		return "", fmt.Errorf("the number of project %s: Resource Manager names it %q", project, p.Name)
	}
	return number, nil
}

// A granter plans and makes the grants of the service agent.
type granter struct{ *planner }

// agentOf finds the service agent of the subscription's project. errNoPolicies
// means that none is needed.
func (p granter) agentOf(ctx context.Context) (string, error) {
	if p.wish.number != "" {
		return agent(p.wish.number), nil
	}
	number, err := p.number(ctx, p.wish.sub.project)
	if err != nil {
		return "", err
	}
	return agent(number), nil
}

// planGrants plans the permissions that the service agent needs so that the
// service can forward dead letters.
func (p granter) planGrants(ctx context.Context, deadExists, subExists bool) error {
	w := p.wish
	member, err := p.agentOf(ctx)
	if errors.Is(err, errNoPolicies) {
		return nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Add(provision.Change{Resource: resource(w.sub), Kind: provision.Note, Field: "iam", From: err.Error(),
			To: "grants for Pub/Sub's service agent",
			Remedy: fmt.Sprintf("add %s=NUMBER to the URL (gcloud projects describe %s --format='value(projectNumber)'), or get resourcemanager.projects.get on the project",
				paramNumber, w.sub.project)}, nil)
		return nil
	}
	if err := p.planGrant(ctx, w.dead, deadExists, rolePublisher, member); err != nil {
		return err
	}
	return p.planGrant(ctx, w.sub, subExists, roleSubscriber, member)
}

func (p granter) planGrant(ctx context.Context, n name, exists bool, role, member string) error {
	c := provision.Change{Resource: resource(n), Kind: provision.Grant, Field: "iam", To: role + " for " + member}
	if exists {
		policy, err := p.accessPolicy(ctx, n)
		switch {
		case errors.Is(err, errNoPolicies):
			return nil
		case status.Code(err) == codes.PermissionDenied:
			c.Kind, c.From = provision.Note, "not known: this program may not read the access policy"
			c.Remedy = "get pubsub.admin on it, or have run: " + grantCommand(n, role, member)
			p.Add(c, nil)
			return nil
		case err != nil:
			return wrap(ctx, n, "plan", err)
		case granted(policy, role, func(m string) bool { return m == member }):
			return nil
		}
	}
	p.Add(c, func(ctx context.Context) error {
		err := p.grant(ctx, n, role, member)
		if errors.Is(err, errNoPolicies) {
			return &provision.LeftOutError{Err: err} // and nothing is missing
		}
		return err
	})
	return nil
}

func grantCommand(n name, role, member string) string {
	return fmt.Sprintf("gcloud pubsub %s add-iam-policy-binding %s --project=%s --member=%s --role=%s", n.kind, n.id, n.project, member, role)
}

// grant adds a member to the access policy. When somebody else changes the policy
// meanwhile it begins again.
func (p granter) grant(ctx context.Context, n name, role, member string) error {
	const tries = 5
	for try := 1; ; try++ {
		policy, err := p.accessPolicy(ctx, n)
		if err == nil {
			addMember(policy, role, member)
			err = p.setAccessPolicy(ctx, n, policy)
		}
		switch {
		case err == nil, errors.Is(err, errNoPolicies):
			return err
		case status.Code(err) == codes.Aborted && try < tries:
			continue
		case status.Code(err) == codes.PermissionDenied:
			return drivers.Wrap(ctx, drivers.Denied, n.String(), "apply", err, "get roles/pubsub.admin on it, or have run: "+grantCommand(n, role, member))
		}
		return wrap(ctx, n, "apply", err)
	}
}

func addMember(policy *iampb.Policy, role, member string) {
	policy.Version = policyVersion
	for _, b := range policy.Bindings {
		if b.Role == role && b.Condition == nil {
			b.Members = append(b.Members, member)
			return
		}
	}
	policy.Bindings = append(policy.Bindings, &iampb.Binding{Role: role, Members: []string{member}})
}

// granted reports whether a policy gives a role, or one with more rights, to a
// member. A grant with a condition does not count: it may not hold.
func granted(policy *iampb.Policy, role string, is func(member string) bool) bool {
	for _, b := range policy.GetBindings() {
		switch b.Role {
		case role, "roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner":
			if b.Condition == nil && slices.ContainsFunc(b.Members, is) {
				return true
			}
		}
	}
	return false
}

func (p granter) accessPolicy(ctx context.Context, n name) (*iampb.Policy, error) {
	in := &iampb.GetIamPolicyRequest{Resource: n.String(), Options: &iampb.GetPolicyOptions{RequestedPolicyVersion: policyVersion}}
	var policy *iampb.Policy
	var err error
	if n.kind == kindTopic {
		policy, err = p.topics.GetIamPolicy(ctx, in, once, bounded)
	} else {
		policy, err = p.subscriptions.GetIamPolicy(ctx, in, once, bounded)
	}
	return policy, noPolicies(err)
}

func (p granter) setAccessPolicy(ctx context.Context, n name, policy *iampb.Policy) error {
	in := &iampb.SetIamPolicyRequest{Resource: n.String(), Policy: policy}
	var err error
	if n.kind == kindTopic {
		_, err = p.topics.SetIamPolicy(ctx, in, once, bounded)
	} else {
		_, err = p.subscriptions.SetIamPolicy(ctx, in, once, bounded)
	}
	return noPolicies(err)
}

// noPolicies recognizes an emulator without access policies.
func noPolicies(err error) error {
	if status.Code(err) == codes.Unimplemented && emulatorHost() != "" {
		return errNoPolicies
	}
	return err
}
