package sqstest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/sluice-go/sluice/internal/queue"
)

// A registry finds and changes the queues that a server's operations work on.
//
// changing is held while a queue is created, changed or deleted, so that a change
// of one attribute does not lose a change of another. It comes before the locks of
// the engine.
type registry struct {
	cfg        Config
	account    string
	engine     queue.Engine
	ownsEngine bool
	base       context.Context //nolint:containedctx // ends with Close

	changing sync.Mutex
	known    sync.Map // name → *settings, if nobody else uses the engine
	inFlight sync.Map // name → *inFlight
}

// queueURL returns the URL of a queue below the address that a client used.
func (r *registry) queueURL(origin, name string) string {
	return origin + "/" + r.account + "/" + name
}

// queueARN returns the ARN of a queue, whether or not it exists.
func (r *registry) queueARN(name string) string {
	return "arn:aws:sqs:" + r.cfg.Region + ":" + r.account + ":" + name
}

// queue finds the queue of a URL.
func (r *registry) queue(ctx context.Context, url string) (*settings, *apiError) {
	if url == "" {
		return nil, missing("QueueUrl")
	}
	name := queueName(url)
	if name == "" {
		return nil, fault(codeInvalidAddress, "The address %s is not valid for this endpoint.", url)
	}
	if r.cfg.AccountID != "" {
		rest := strings.TrimSuffix(strings.TrimSuffix(url, "/"), "/"+name)
		if rest != url && queueName(rest) != r.account {
			return nil, plain(codeQueueDoesNotExist)
		}
	}
	return r.settings(ctx, name)
}

// settings finds a queue by its name.
func (r *registry) settings(ctx context.Context, name string) (*settings, *apiError) {
	if v, ok := r.known.Load(name); ok {
		if q, ok := v.(*settings); ok {
			return q, nil
		}
	}
	c, created, err := r.engine.Config(ctx, name)
	if err != nil {
		return nil, engineError(err)
	}
	q, bad := settingsOf(name, c, created, r.queueARN)
	if bad != nil {
		return nil, fault(codeInternalFailure, "The configuration of %s cannot be read: %s", name, bad.message)
	}
	return q, nil
}

// learned keeps settings, unless another user of the engine may change them.
// changing is held.
func (r *registry) learned(q *settings) {
	if r.ownsEngine {
		r.known.Store(q.name, q)
	}
}

// gone turns the engine's error of a call on a queue into the client's, and
// forgets a queue that another has deleted.
func (r *registry) gone(name string, err error) *apiError {
	if errors.Is(err, queue.ErrNotFound) {
		r.known.Delete(name)
	}
	return engineError(err)
}

// checkTarget checks that the dead-letter queue that a queue names exists, is of
// its kind, and allows it. It may be the queue itself, once that exists.
func (r *registry) checkTarget(ctx context.Context, q *settings) *apiError {
	if q.redrive.target == "" {
		return nil
	}
	refuse := func(reason string) *apiError {
		return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s.", q.attributes[attrRedrive], reason)
	}
	name := queueName(q.redrive.target)
	if q.redrive.target != r.queueARN(name) {
		return refuse("Dead letter target does not exist")
	}
	target, err := r.settings(ctx, name)
	switch {
	case err != nil && err.code == codeQueueDoesNotExist:
		return refuse("Dead letter target does not exist")
	case err != nil:
		return err
	case target.fifo != q.fifo:
		return refuse("Dead-letter queue must be same type of queue as the source")
	}
	if document := target.attributes[attrRedriveAllow]; document != "" {
		if allow, err := parseAllow(document); err != nil || !allow.allows(r.queueARN(q.name)) {
			return refuse("The redrive allow policy of the dead-letter queue does not allow this source queue")
		}
	}
	return nil
}

// sourcesOf lists the queues whose dead-letter queue is the named one.
func (r *registry) sourcesOf(ctx context.Context, name string) ([]string, *apiError) {
	names, err := r.engine.List(ctx)
	if err != nil {
		return nil, engineError(err)
	}
	arn := r.queueARN(name)
	var sources []string
	for _, n := range names {
		// Queues that are deleted while the list is read are left out.
		if q, err := r.settings(ctx, n); err == nil && q.redrive.target == arn {
			sources = append(sources, n)
		}
	}
	return sources, nil
}

// change replaces a queue's settings by what f makes of them.
func (r *registry) change(c *call, url string, f func(*settings) (*settings, *apiError)) *apiError {
	r.changing.Lock()
	defer r.changing.Unlock()
	old, err := r.queue(c.ctx, url)
	if err != nil {
		return err
	}
	changed, err := f(old)
	if err != nil {
		return err
	}
	if err := r.engine.Configure(c.ctx, old.name, changed.config()); err != nil {
		return r.gone(old.name, err)
	}
	r.learned(changed)
	return nil
}
