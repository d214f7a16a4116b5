package sqs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// planFor implements [Opener.Plan].
func planFor(ctx context.Context, o *Opener, u *url.URL, s *provision.Spec) (*provision.Plan, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	t.patient = true
	main, dead, err := wishes(t, s)
	if err != nil {
		return nil, err
	}
	client, release, err := o.client(ctx, t)
	if err != nil {
		return nil, err
	}
	p := &planner{client: client, spec: s, cloudWatch: func(ctx context.Context) (*cloudwatch.Client, error) {
		return cloudWatch(ctx, o, t)
	}}
	p.Release = release
	if err := p.plan(ctx, t, main, dead); err != nil {
		release()
		return nil, err
	}
	return &p.Plan, nil
}

// A planner compares queues as they are with those that are wished.
type planner struct {
	provision.Plan
	client *awssqs.Client
	spec   *provision.Spec
	// cloudWatch makes the client for alarms, if any are wanted.
	cloudWatch func(ctx context.Context) (*cloudwatch.Client, error)
}

// A found queue is one that exists.
type found struct {
	url        string
	attributes map[string]string
	tags       map[string]string
}

func (p *planner) plan(ctx context.Context, t *target, main wish, dead *wish) error {
	mainFound, err := p.find(ctx, t, main.name)
	if err != nil {
		return err
	}
	if dead != nil {
		deadFound, err := p.find(ctx, t, dead.name)
		if err != nil {
			return err
		}
		p.queue(dead, deadFound, nil)
		p.allow(t, dead, deadFound)
		deadName := dead.name
		p.queue(&main, mainFound, func(ctx context.Context) (string, error) { return p.arnOf(ctx, t, deadName) })
	} else {
		p.queue(&main, mainFound, nil)
		p.unwantedPolicy(&main, mainFound)
	}
	return planAlarms(ctx, p, main.name, dead)
}

// find returns the named queue beside the target, or nil if there is none.
func (p *planner) find(ctx context.Context, t *target, name string) (*found, error) {
	q := &queue{api: p.client, name: name}
	in := &awssqs.GetQueueUrlInput{QueueName: &name}
	if t.account != "" {
		in.QueueOwnerAWSAccountId = &t.account
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	at, err := p.client.GetQueueUrl(rctx, in)
	if err != nil {
		if err = q.fail(ctx, "plan", err); errors.Is(err, drivers.ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	f := &found{url: aws.ToString(at.QueueUrl)}
	q.url = f.url
	if f.attributes, err = q.attributes(ctx, "plan", types.QueueAttributeNameAll); err != nil {
		return nil, err
	}
	tags, err := p.client.ListQueueTags(rctx, &awssqs.ListQueueTagsInput{QueueUrl: &f.url})
	if err == nil {
		f.tags = tags.Tags
	} else if err = q.fail(ctx, "plan", err); drivers.CodeOf(err) != drivers.Denied && drivers.CodeOf(err) != drivers.Unsupported {
		return nil, err
	}
	return f, nil
}

// arnOf returns the ARN of a queue that exists by now.
func (p *planner) arnOf(ctx context.Context, t *target, name string) (string, error) {
	f, err := p.find(ctx, t, name)
	if err != nil {
		return "", err
	}
	if f == nil {
		return "", &drivers.Error{Code: drivers.NotFound, Queue: name, Op: "apply", Err: errors.New("the dead-letter queue was not created")}
	}
	return f.attributes[attrARN], nil
}

// queue plans one queue. deadLetter finds the ARN of its dead-letter queue.
func (p *planner) queue(w *wish, f *found, deadLetter func(ctx context.Context) (string, error)) {
	resource := "sqs queue " + w.name
	if f == nil {
		to := []string{}
		for name, value := range w.attributes("…/" + w.deadLetter) {
			to = append(to, name+"="+value)
		}
		slices.Sort(to)
		p.Add(provision.Change{Resource: resource, Kind: provision.Create, To: strings.Join(to, " ")}, func(ctx context.Context) error {
			return p.create(ctx, w, deadLetter)
		})
		return
	}
	if isFIFO := f.attributes[attrFIFO] == "true"; isFIFO != w.fifo {
		p.Add(provision.Change{
			Resource: resource, Kind: provision.Replace, Field: "fifo", From: fmt.Sprint(isFIFO), To: fmt.Sprint(w.fifo),
			Remedy: "a queue's kind cannot be changed: create a queue with another name, let the producers send to it, and drain this one",
		}, nil)
		return
	}
	current := f.attributes
	wanted := w.attributes("")
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		value := wanted[name]
		if name == attrRedrive || current[name] == value {
			continue
		}
		if name == attrSSE && current[attrKMS] != "" {
			continue // encrypted, and better
		}
		if _, ok := current[name]; !ok && name != attrKMS {
			continue // AWS answers all of these; this server does not
		}
		p.set(f, w.name, provision.Change{
			Resource: resource, Kind: provision.Update, Field: fieldName(name), From: shown(name, current[name]), To: shown(name, value),
			Destructive: name == attrRetention && number(value) < number(current[name]),
		}, map[string]string{name: value})
	}
	p.redrivePolicy(w, f, resource, deadLetter)
	missing := make(map[string]string)
	for k, v := range w.tags {
		if f.tags[k] != v {
			missing[k] = v
		}
	}
	for _, k := range slices.Sorted(maps.Keys(missing)) {
		p.Add(provision.Change{Resource: resource, Kind: provision.Update, Field: "tags." + k, From: f.tags[k], To: missing[k]},
			func(ctx context.Context) error {
				return p.tag(ctx, w.name, f.url, map[string]string{k: missing[k]})
			})
	}
}

func (p *planner) create(ctx context.Context, w *wish, deadLetter func(ctx context.Context) (string, error)) error {
	arn := ""
	if deadLetter != nil {
		var err error
		if arn, err = deadLetter(ctx); err != nil {
			return err
		}
	}
	attributes := w.attributes(arn)
	if w.fifo {
		attributes[attrFIFO] = "true"
	}
	_, err := p.createQueue(ctx, &awssqs.CreateQueueInput{QueueName: &w.name, Attributes: attributes, Tags: w.tags})
	if err = p.failure(ctx, w.name, err); err == nil || !lacks(err) {
		return err
	}
	// The server does not know one of them. Make a plain queue, and set one after
	// the other, to find out which.
	plain := map[string]string{}
	if w.fifo {
		plain[attrFIFO] = "true"
		delete(attributes, attrFIFO)
	}
	made, err := p.createQueue(ctx, &awssqs.CreateQueueInput{QueueName: &w.name, Attributes: plain})
	if err != nil {
		return p.failure(ctx, w.name, err)
	}
	at := aws.ToString(made.QueueUrl)
	left := &leftOut{Made: true}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		err := left.without(name, func() error { return p.set1(ctx, w.name, at, name, attributes[name]) })
		if err != nil {
			return err
		}
	}
	if len(w.tags) > 0 {
		if err := left.without("tags", func() error { return p.failure(ctx, w.name, p.tagQueue(ctx, at, w.tags)) }); err != nil {
			return err
		}
	}
	return left.result()
}

func (p *planner) createQueue(ctx context.Context, in *awssqs.CreateQueueInput) (*awssqs.CreateQueueOutput, error) {
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	return p.client.CreateQueue(rctx, in)
}

// tag sets tags. It returns a leftOut error if the server has no tags.
func (p *planner) tag(ctx context.Context, name, at string, tags map[string]string) error {
	left := &leftOut{}
	if err := left.without("tags", func() error { return p.failure(ctx, name, p.tagQueue(ctx, at, tags)) }); err != nil {
		return err
	}
	return left.result()
}

func (p *planner) tagQueue(ctx context.Context, at string, tags map[string]string) error {
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	_, err := p.client.TagQueue(rctx, &awssqs.TagQueueInput{QueueUrl: &at, Tags: tags})
	return err
}

// redrivePolicy plans a queue's redrive policy.
func (p *planner) redrivePolicy(w *wish, f *found, resource string, deadLetter func(ctx context.Context) (string, error)) {
	if w.deadLetter == "" {
		return
	}
	now, err := parseRedrivePolicy(orEmptyObject(f.attributes[attrRedrive]))
	from := ""
	if err == nil && now.target != "" {
		from = fmt.Sprintf("%s after %d", lastColon(now.target), now.maxReceives)
		if lastColon(now.target) == w.deadLetter && now.maxReceives == w.maxReceives {
			return
		}
	}
	p.Add(provision.Change{
		Resource: resource, Kind: provision.Update, Field: "dead_letter", From: from,
		To: fmt.Sprintf("%s after %d", w.deadLetter, w.maxReceives),
		// Letters in the old dead-letter queue are then nobody's.
		Destructive: now.target != "" && lastColon(now.target) != w.deadLetter,
	}, func(ctx context.Context) error {
		arn, err := deadLetter(ctx)
		if err != nil {
			return err
		}
		return p.setAttributes(ctx, w.name, f.url, map[string]string{attrRedrive: redriveText(arn, w.maxReceives)})
	})
}

// unwantedPolicy plans the removal of a redrive policy that the configuration
// does not have.
func (p *planner) unwantedPolicy(w *wish, f *found) {
	if f == nil || f.attributes[attrRedrive] == "" {
		return
	}
	now, err := parseRedrivePolicy(f.attributes[attrRedrive])
	if err != nil || now.target == "" {
		return
	}
	p.Add(provision.Change{
		Resource: "sqs queue " + w.name, Kind: provision.Update, Field: "dead_letter",
		From: fmt.Sprintf("%s after %d", lastColon(now.target), now.maxReceives), Destructive: true,
		Remedy: "without a dead-letter queue a poison message is retried until it expires: name one in the configuration instead",
	}, func(ctx context.Context) error {
		return p.setAttributes(ctx, w.name, f.url, map[string]string{attrRedrive: ""})
	})
}

// allow plans the dead-letter queue's allow policy. It comes before the queue's
// own redrive policy, which SQS refuses while the allow policy names others
// only. The queue may not exist yet: its ARN is that of the dead-letter queue
// with its own name.
func (p *planner) allow(t *target, dead *wish, deadFound *found) {
	change := provision.Change{Resource: "sqs queue " + dead.name, Kind: provision.Update, Field: "redrive_allow_policy", To: "byQueue " + dead.serves}
	if deadFound != nil {
		old := deadFound.attributes[attrAllow]
		_, changed, err := allow(old, besideARN(deadFound.attributes[attrARN], dead.serves))
		if err != nil {
			change.Kind, change.Remedy = provision.Note, err.Error()
			p.Add(change, nil)
			return
		}
		if !changed {
			return
		}
		change.From = old
	}
	p.Add(change, func(ctx context.Context) error {
		d, err := p.find(ctx, t, dead.name)
		if err != nil {
			return err
		}
		if d == nil {
			return &drivers.Error{Code: drivers.NotFound, Queue: dead.name, Op: "apply", Err: errors.New("the dead-letter queue was not created")}
		}
		policy, changed, err := allow(d.attributes[attrAllow], besideARN(d.attributes[attrARN], dead.serves))
		if err != nil || !changed {
			return err
		}
		return p.setAttributes(ctx, dead.name, d.url, map[string]string{attrAllow: policy.String()})
	})
}

// besideARN is the ARN of the named queue in the account and region of another.
func besideARN(other, name string) string { return other[:strings.LastIndexByte(other, ':')+1] + name }

func (p *planner) set(f *found, name string, c provision.Change, attributes map[string]string) {
	p.Add(c, func(ctx context.Context) error { return p.setAttributes(ctx, name, f.url, attributes) })
}

// setAttributes sets attributes, one after the other. It returns a leftOut error
// if the server does not know one of them.
func (p *planner) setAttributes(ctx context.Context, name, queueURL string, attributes map[string]string) error {
	left := &leftOut{}
	for _, attribute := range slices.Sorted(maps.Keys(attributes)) {
		err := left.without(attribute, func() error { return p.set1(ctx, name, queueURL, attribute, attributes[attribute]) })
		if err != nil {
			return err
		}
	}
	return left.result()
}

// set1 sets one attribute.
func (p *planner) set1(ctx context.Context, name, queueURL, attribute, value string) error {
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	_, err := p.client.SetQueueAttributes(rctx, &awssqs.SetQueueAttributesInput{QueueUrl: &queueURL, Attributes: map[string]string{attribute: value}})
	return p.failure(ctx, name, err)
}

func (p *planner) failure(ctx context.Context, name string, err error) error {
	return (&queue{name: name}).fail(ctx, "apply", err)
}

// fieldName is an attribute's name in the configuration.
func fieldName(attribute string) string {
	switch attribute {
	case attrVisibility:
		return "visibility_timeout"
	case attrRetention:
		return "retention"
	case attrWait:
		return "receive_wait"
	case attrKMS:
		return "kms_key"
	case attrSSE:
		return "encryption"
	default:
		return attribute
	}
}

// shown is an attribute's value as people read it.
func shown(attribute, value string) string {
	switch attribute {
	case attrVisibility, attrRetention, attrWait:
		return number(value).String()
	default:
		return value
	}
}

func number(s string) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func orEmptyObject(s string) string {
	if s == "" {
		return "{}"
	}
	return s
}

// lastColon is the resource of an ARN.
func lastColon(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }
