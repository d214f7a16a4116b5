package job

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A Job is a value that describes work, mostly a struct with exported fields.
type Job interface {
	// Kind returns the name of the kind of work. It must not be empty, and must be the
	// same for all values of the type, the zero value included.
	Kind() string
}

// AddOptions has what is rarely needed when a kind is added. The zero AddOptions has the
// defaults.
type AddOptions struct {
	// Codec decodes the jobs. It must be the client's. Nil means [handler.JSON].
	Codec handler.Codec

	// Route has the kind's own middleware and timeout.
	Route route.Options
}

// Add has the router hand jobs of T's kind to h. A job that can't be decoded is rejected.
// Errors of h are verdicts, as those of any handler. Nil options have the defaults. Add
// returns an error if h is nil, if T has no kind, and if the kind was added before.
func Add[T Job](r *route.Router, h func(ctx context.Context, j T) error) error {
	return AddWith(r, h, nil)
}

// AddWith is [Add] with options. Nil options have the defaults.
func AddWith[T Job](r *route.Router, h func(ctx context.Context, j T) error, options *AddOptions) error {
	var o AddOptions
	if options != nil {
		o = *options
	}
	kind, err := kindOf[T]()
	switch {
	case r == nil:
		return errors.New("job: the router is nil")
	case h == nil:
		return fmt.Errorf("job: the function for kind %q is nil", kind)
	case err != nil:
		return err
	}
	typed := handler.Typed(o.Codec, func(ctx context.Context, m *handler.Message, j T) error {
		return h(context.WithValue(ctx, messageKey{}, m), j)
	})
	if err := r.Add(kind, typed, &o.Route); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	return nil
}

// kindOf returns the kind of a type's zero value: of a pointer type, that of a pointer
// to a zero value.
func kindOf[T Job]() (kind string, err error) {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface {
		return "", fmt.Errorf("job: %v is an interface: a kind needs a type of its own", t)
	}
	var zero T
	if t.Kind() == reflect.Pointer {
		zero, _ = reflect.New(t.Elem()).Interface().(T)
	}
	return read(zero)
}

// read returns the kind of a job, whose method is user code.
func read(j Job) (kind string, err error) {
	if failed := invoke.DoApart(func() { kind = j.Kind() }); failed != nil {
		return "", fmt.Errorf("job: the kind of %T: %w", j, failed)
	}
	if kind == "" {
		return "", fmt.Errorf("job: the kind of %T is empty", j)
	}
	return kind, nil
}

type messageKey struct{}

// Message returns the message of the job that a function of [Add] was called for, with
// its attempt, its identity and its lease. It is nil if ctx is not that function's.
func Message(ctx context.Context) *handler.Message {
	m, _ := ctx.Value(messageKey{}).(*handler.Message)
	return m
}
