package sqstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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
	run  func(*Server, *call, request) *apiError
}

func does[T any, P interface {
	*T
	request
}](run func(*Server, *call, P) *apiError) operation {
	return operation{
		make: func() request { return P(new(T)) },
		run: func(s *Server, c *call, q request) *apiError {
			p, ok := q.(P)
			if !ok {
				return fault(CodeInternalFailure, "the request is a %T", q)
			}
			return run(s, c, p)
		},
	}
}

func operations() map[string]operation {
	return map[string]operation{
		"CreateQueue":                  does((*Server).createQueue),
		"DeleteQueue":                  does((*Server).deleteQueue),
		"GetQueueUrl":                  does((*Server).getQueueURL),
		"ListQueues":                   does((*Server).listQueues),
		"GetQueueAttributes":           does((*Server).getQueueAttributes),
		"SetQueueAttributes":           does((*Server).setQueueAttributes),
		"PurgeQueue":                   does((*Server).purgeQueue),
		"TagQueue":                     does((*Server).tagQueue),
		"UntagQueue":                   does((*Server).untagQueue),
		"ListQueueTags":                does((*Server).listQueueTags),
		"AddPermission":                does((*Server).addPermission),
		"RemovePermission":             does((*Server).removePermission),
		"ListDeadLetterSourceQueues":   does((*Server).listDeadLetterSourceQueues),
		"SendMessage":                  does((*Server).sendMessage),
		"SendMessageBatch":             does((*Server).sendMessageBatch),
		"ReceiveMessage":               does((*Server).receiveMessage),
		"DeleteMessage":                does((*Server).deleteMessage),
		"DeleteMessageBatch":           does((*Server).deleteMessageBatch),
		"ChangeMessageVisibility":      does((*Server).changeMessageVisibility),
		"ChangeMessageVisibilityBatch": does((*Server).changeMessageVisibilityBatch),
		"StartMessageMoveTask":         does((*Server).startMessageMoveTask),
		"CancelMessageMoveTask":        does((*Server).cancelMessageMoveTask),
		"ListMessageMoveTasks":         does((*Server).listMessageMoveTasks),
	}
}

// do works on one request.
func (s *Server) do(ctx context.Context, in incoming) reply {
	action := strings.TrimPrefix(in.target, targetPrefix)
	op, ok := s.operations[action]
	if !ok || action == in.target {
		return s.failed(fault(CodeUnknownOperation,
			"The action %q is not known. sqstest speaks SQS's AWS JSON 1.0 protocol (X-Amz-Target: AmazonSQS.Action), not the older query protocol.", in.target))
	}
	s.ledger.arrived(action)
	q := Request{At: s.cfg.Clock.Now(), Action: action, AccessKeyID: in.key, Body: in.body}
	out := s.work(ctx, op, in, &q)
	if !out.noAnswer && ctx.Err() == nil {
		q.Status = out.status
		if out.err != nil {
			q.Code = shapeOf(out.err.code).queryCode
		}
	}
	s.ledger.answered(q)
	return out
}

func (s *Server) work(ctx context.Context, op operation, in incoming, q *Request) reply {
	if err := s.authorize(in.key); err != nil {
		return s.failed(err)
	}
	req := op.make()
	if err := decode(in.body, req); err != nil {
		return s.failed(err)
	}
	q.Queue = queueName(req.queueRef())
	if b, ok := req.(batch); ok {
		q.Entries = b.size()
	}
	effects := s.faults.strike(q)
	if effects.delay > 0 {
		select {
		case <-s.cfg.Clock.After(effects.delay):
		case <-ctx.Done():
			return reply{noAnswer: true}
		case <-s.base.Done():
			return reply{noAnswer: true}
		}
	}
	switch {
	case effects.refuse:
		return reply{noAnswer: true, refused: true}
	case effects.err != nil:
		out := s.failed(effects.err)
		out.noAnswer = effects.drop
		return out
	}
	c := &call{ctx: ctx, origin: in.origin, sender: in.key, trace: in.trace, effects: &effects}
	if c.sender == "" {
		c.sender = s.account
	}
	if err := op.run(s, c, req); err != nil {
		out := s.failed(err)
		out.noAnswer = effects.drop
		return out
	}
	if len(c.out.b) == 0 {
		c.out.b = append(c.out.b, "{}"...)
	}
	return reply{status: http.StatusOK, requestID: s.requestID(), body: c.out.b, noAnswer: effects.drop}
}

func (s *Server) authorize(key string) *apiError {
	switch {
	case s.accessKeys == nil:
		return nil
	case key == "":
		return plain(CodeMissingAuthenticationToken)
	case !s.accessKeys[key]:
		return plain(CodeInvalidClientTokenID)
	}
	return nil
}

func (s *Server) failed(err *apiError) reply {
	w := writer{}
	err.write(&w)
	return reply{status: err.httpStatus(), requestID: s.requestID(), err: err, body: w.b}
}

func (s *Server) requestID() string {
	n := s.requests.Add(1)
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", n>>48, n&(1<<48-1))
}

// engineError is what a client is told of the engine's errors.
func engineError(err error) *apiError {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return plain(CodeQueueDoesNotExist)
	case errors.Is(err, queue.ErrClosed):
		return fault(CodeServiceUnavailable, "The server is shutting down.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault(CodeServiceUnavailable, "The request was given up: %v.", err)
	}
	return fault(CodeInternalFailure, "The queue engine failed: %v.", err)
}
