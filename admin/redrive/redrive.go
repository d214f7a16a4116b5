package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/sleep"
)

// Run brings dead letters of the queue behind source back to it. A nil o is the
// zero [Options]. When ctx ends, it stops, releases the letters it holds,
// cancels a native task (unless Detach), and returns the result so far with
// ctx's error. An error with the code drivers.Unsupported means that the queue
// has no dead-letter queue, or that the driver cannot redrive.
func Run(ctx context.Context, source drivers.Source, o *Options) (Result, error) {
	opts, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	queue := source.Capabilities().Queue
	redriver, native := source.(deadletter.Redriver)
	if native && source.Capabilities().NativeRedrive && !opts.selective() {
		// An emulator of the provider may not support redrives.
		result, err := runNative(ctx, redriver, queue, opts)
		if !invoke.Is(err, drivers.ErrUnsupported) || opts.Detach {
			return result, err
		}
	}
	if opts.Detach {
		return Result{}, &drivers.Error{Code: drivers.Unsupported, Queue: queue, Op: "redrive",
			Err: errors.New("there is nothing that would carry it on: this redrive is not the provider's own"), Remedy: "wait for it"}
	}
	opener, ok := source.(deadletter.Opener)
	if !ok {
		return Result{}, letters.Unsupported(source, "redrive")
	}
	return runSelective(ctx, opener, opts)
}

// The pause between two looks at a native task grows from first to most. A task that so many
// looks in a row do not find is given up.
const (
	firstLook  = 100 * time.Millisecond
	mostLook   = 2 * time.Second
	mostMissed = 30
)

var errNotListed = errors.New("the provider does not list the task, which may go on")

func runNative(ctx context.Context, r deadletter.Redriver, queue string, o Options) (Result, error) {
	result := Result{Mode: Native, Total: drivers.Unknown}
	task, err := r.StartRedrive(ctx, o.Rate)
	if drivers.CodeOf(err) == drivers.Invalid {
		// One may be running already, started by somebody or by us before a
		// crash: it is watched instead.
		running, listErr := runningTask(ctx, r)
		if listErr != nil || running == nil {
			return result, err
		}
		task, err = *running, nil
	}
	if err != nil {
		return result, err
	}
	result.Task, result.Moved, result.Total = task, task.Moved, task.Total
	if o.Detach {
		return result, nil
	}
	wait, missed := firstLook, 0
	for task.Status == deadletter.Running {
		o.Progress(result)
		if sleep.For(ctx, wait) != nil {
			return cancelNative(ctx, r, result)
		}
		wait = min(2*wait, mostLook)
		now, err := latest(ctx, r, task)
		if err != nil {
			if ctx.Err() != nil {
				return cancelNative(ctx, r, result)
			}
			if invoke.Is(err, errNotListed) {
				missed++
			}
			if !drivers.CodeOf(err).Retryable() || missed >= mostMissed {
				return result, err
			}
			continue
		}
		task, missed = now, 0
		result.Task, result.Moved, result.Total = task, task.Moved, task.Total
	}
	o.Progress(result)
	switch task.Status {
	case deadletter.Completed:
		return result, nil
	case deadletter.Canceled:
		return result, fmt.Errorf("redrive of queue %q: the task was canceled; %d letters were moved", queue, task.Moved)
	default:
		return result, fmt.Errorf("redrive of queue %q: the task failed: %s", queue, task.Failure)
	}
}

func cancelNative(ctx context.Context, r deadletter.Redriver, result Result) (Result, error) {
	cause := context.Cause(ctx)
	fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), scan.SettleTime)
	defer cancel()
	if err := r.CancelRedrive(fresh, result.Task.ID); err != nil {
		return result, errors.Join(cause, fmt.Errorf("the task continues because it could not be canceled: %w", err))
	}
	if task, err := latest(fresh, r, result.Task); err == nil {
		result.Task, result.Moved = task, task.Moved
	}
	return result, cause
}

func runningTask(ctx context.Context, r deadletter.Redriver) (*deadletter.Task, error) {
	tasks, err := r.Redrives(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if t.Status == deadletter.Running {
			return &t, nil
		}
	}
	return nil, nil
}

// latest finds a task among the latest. SQS lists a task that has ended without its ID, so
// it is known by its start: exactly, if it was listed before, and otherwise as the newest
// that did not start earlier.
func latest(ctx context.Context, r deadletter.Redriver, task deadletter.Task) (deadletter.Task, error) {
	tasks, err := r.Redrives(ctx)
	if err != nil {
		return task, err
	}
	for _, t := range tasks {
		if t.ID != "" && t.ID == task.ID {
			return t, nil
		}
	}
	for _, t := range tasks {
		if t.ID == "" && !task.Started.IsZero() && t.Started.Equal(task.Started) {
			t.ID = task.ID
			return t, nil
		}
	}
	for _, t := range tasks { // newest first
		if t.ID == "" && (task.Started.IsZero() || !t.Started.Before(task.Started.Truncate(time.Millisecond))) {
			t.ID = task.ID
			return t, nil
		}
	}
	return task, &drivers.Error{Code: drivers.Transient, Op: "list redrives", Err: errNotListed}
}
