package sqstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// A request is one of the structs of request.go.
type request interface {
	queueRef() string
}

// A batch is a request that has entries.
type batch interface{ size() int }

// A call is a request that is being worked on.
type call struct {
	ctx     context.Context
	origin  string
	sender  string
	trace   string
	effects *effect
	out     writer // the answer; empty is {}
}

// An operation is an SQS action.
type operation struct {
	make func() request
	run  func(*call, request) *apiError
}

func does[T any, P interface {
	*T
	request
}](run func(*call, P) *apiError) operation {
	return operation{
		make: func() request { return P(new(T)) },
		run: func(c *call, q request) *apiError {
			p, ok := q.(P)
			if !ok {
				return fault(codeInternalFailure, "the request is a %T", q)
			}
			return run(c, p)
		},
	}
}

// operations returns the actions that a server knows, by name.
func operations(r *registry) map[string]operation {
	queues := &queueActions{registry: r, purged: map[string]time.Time{}, deleted: map[string]time.Time{}}
	tags, permissions, moves := tagActions{r}, &permissionActions{registry: r}, moveActions{r}
	sends, receives, settles := sendActions{r}, &receiveActions{registry: r}, settleActions{r}
	all := map[string]operation{
		"CreateQueue":                  does(queues.createQueue),
		"DeleteQueue":                  does(queues.deleteQueue),
		"GetQueueUrl":                  does(queues.getQueueURL),
		"ListQueues":                   does(queues.listQueues),
		"GetQueueAttributes":           does(queues.getQueueAttributes),
		"SetQueueAttributes":           does(queues.setQueueAttributes),
		"PurgeQueue":                   does(queues.purgeQueue),
		"TagQueue":                     does(tags.tagQueue),
		"UntagQueue":                   does(tags.untagQueue),
		"ListQueueTags":                does(tags.listQueueTags),
		"AddPermission":                does(permissions.addPermission),
		"RemovePermission":             does(permissions.removePermission),
		"ListDeadLetterSourceQueues":   does(queues.listDeadLetterSourceQueues),
		"SendMessage":                  does(sends.sendMessage),
		"SendMessageBatch":             does(sends.sendMessageBatch),
		"ReceiveMessage":               does(receives.receiveMessage),
		"DeleteMessage":                does(settles.deleteMessage),
		"DeleteMessageBatch":           does(settles.deleteMessageBatch),
		"ChangeMessageVisibility":      does(settles.changeMessageVisibility),
		"ChangeMessageVisibilityBatch": does(settles.changeMessageVisibilityBatch),
		"StartMessageMoveTask":         does(moves.startMessageMoveTask),
		"CancelMessageMoveTask":        does(moves.cancelMessageMoveTask),
		"ListMessageMoveTasks":         does(moves.listMessageMoveTasks),
	}
	permissions.operations = all
	return all
}

// A dispatcher answers requests without the HTTP around them.
type dispatcher struct {
	registry   *registry
	operations map[string]operation
	accessKeys map[string]bool // nil: anybody
	faults     faultSet
	ledger     ledger
	requests   atomic.Uint64 // numbers the request IDs
}

func newDispatcher(r *registry) *dispatcher {
	d := &dispatcher{
		registry:   r,
		operations: operations(r),
		ledger:     ledger{keep: r.cfg.KeepRequests, counts: map[string]int{}},
	}
	d.faults.denied = d.deniedMessage
	d.faults.random = rand.New(rand.NewPCG(r.cfg.Seed, 0)) // repeatable on purpose
	if r.cfg.AccessKeyIDs != nil {
		d.accessKeys = map[string]bool{}
		for _, id := range r.cfg.AccessKeyIDs {
			d.accessKeys[id] = true
		}
	}
	return d
}

// do works on one request.
func (d *dispatcher) do(ctx context.Context, in incoming) reply {
	action := strings.TrimPrefix(in.target, targetPrefix)
	op, ok := d.operations[action]
	if !ok || action == in.target {
		return d.failed(fault(codeUnknownOperation,
			"The action %q is not known. sqstest speaks SQS's AWS JSON 1.0 protocol (X-Amz-Target: AmazonSQS.Action), not the older query protocol.", in.target))
	}
	d.ledger.arrived(action)
	q := Request{At: d.registry.cfg.Clock.Now(), Action: action, AccessKeyID: in.key, Body: in.body}
	out := d.work(ctx, op, in, &q)
	if !out.noAnswer && ctx.Err() == nil {
		q.Status = out.status
		if out.err != nil {
			q.Code = shapeOf(out.err.code).queryCode
		}
	}
	d.ledger.answered(q)
	return out
}

func (d *dispatcher) work(ctx context.Context, op operation, in incoming, q *Request) reply {
	if err := d.authorize(in.key); err != nil {
		return d.failed(err)
	}
	req := op.make()
	if err := decode(in.body, req); err != nil {
		return d.failed(err)
	}
	q.Queue = queueName(req.queueRef())
	if b, ok := req.(batch); ok {
		q.Entries = b.size()
	}
	effects := d.faults.strike(q)
	if effects.delay > 0 {
		select {
		case <-d.registry.cfg.Clock.After(effects.delay):
		case <-ctx.Done():
			return reply{noAnswer: true}
		case <-d.registry.base.Done():
			return reply{noAnswer: true}
		}
	}
	switch {
	case effects.refuse:
		return reply{noAnswer: true, refused: true}
	case effects.err != nil:
		out := d.failed(effects.err)
		out.noAnswer = effects.drop
		return out
	}
	c := &call{ctx: ctx, origin: in.origin, sender: in.key, trace: in.trace, effects: &effects}
	if c.sender == "" {
		c.sender = d.registry.account
	}
	if err := op.run(c, req); err != nil {
		out := d.failed(err)
		out.noAnswer = effects.drop
		return out
	}
	if len(c.out.b) == 0 {
		c.out.b = append(c.out.b, "{}"...)
	}
	return reply{status: http.StatusOK, requestID: d.requestID(), body: c.out.b, noAnswer: effects.drop}
}

func (d *dispatcher) authorize(key string) *apiError {
	switch {
	case d.accessKeys == nil:
		return nil
	case key == "":
		return plain(codeMissingAuthenticationToken)
	case !d.accessKeys[key]:
		return plain(codeInvalidClientTokenID)
	}
	return nil
}

func (d *dispatcher) failed(err *apiError) reply {
	w := writer{}
	err.write(&w)
	return reply{status: err.httpStatus(), requestID: d.requestID(), err: err, body: w.b}
}

func (d *dispatcher) requestID() string {
	n := d.requests.Add(1)
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", n>>48, n&(1<<48-1))
}

// deniedMessage returns IAM's text for an action that no policy allows.
func (d *dispatcher) deniedMessage(q *Request) string {
	action := "sqs:" + strings.ToLower(q.Action)
	who := "anonymous"
	if q.AccessKeyID != "" {
		who = "arn:aws:iam::" + d.registry.account + ":user/" + q.AccessKeyID
	}
	return "User: " + who + " is not authorized to perform: " + action + " on resource: " + d.registry.queueARN(q.Queue) +
		" because no identity-based policy allows the " + action + " action"
}

// engineError returns the answer to a client for an error of the engine.
func engineError(err error) *apiError {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return plain(codeQueueDoesNotExist)
	case errors.Is(err, queue.ErrClosed):
		return fault(codeServiceUnavailable, "The server is shutting down.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault(codeServiceUnavailable, "The request was given up: %v.", err)
	}
	return fault(codeInternalFailure, "The queue engine failed: %v.", err)
}
