package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// A Sender is the part of a producer.Producer that a [Client] needs. It is called
// concurrently.
type Sender interface {
	Send(ctx context.Context, ms ...*handler.Message) error
}

// A Tx is a transaction of the database that has a queue's table: a *sql.Tx, or what
// package outbox/pgxtx makes of a pgx.Tx. It is outbox.Tx.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// A Table is a [Sender] that can also write messages into a table, from which a relay sends
// them to the queue: service.OpenJobs makes one of the configuration's delay_store. A nil Tx
// means a transaction of its own. Its methods are called concurrently, and set the message's
// ID.
type Table interface {
	Sender
	// SendTx writes messages.
	SendTx(ctx context.Context, tx Tx, ms ...*handler.Message) error
	// SendUnique writes a message unless one with the key is pending, whose ID m then gets.
	SendUnique(ctx context.Context, tx Tx, key string, m *handler.Message) (wrote bool, err error)
	// Debounce writes a message in place of the pending one with the key, if there is one.
	Debounce(ctx context.Context, tx Tx, key string, m *handler.Message) (replaced bool, err error)
}

// Config configures a [Client]. The zero Config has the defaults.
type Config struct {
	// Codec encodes the jobs. It must be the workers'. Nil means [handler.JSON].
	Codec handler.Codec

	// Queues has the queues of those kinds that do not go to the client's own. Those of
	// the configuration are opened by service.OpenJobs.
	Queues map[string]Sender

	// Now is the clock for Options.At. It is called concurrently. Nil means time.Now.
	Now func() time.Time
}

// A Client enqueues jobs. Make one with [NewClient]. Its methods may be called
// concurrently.
type Client struct {
	queue Sender
	cfg   Config
}

// NewClient returns a client that sends jobs to queue. A nil config has the defaults. If
// queue is nil, there are only the kinds of Config.Queues. The client does not own the
// queues: whoever made them closes them.
func NewClient(queue Sender, config *Config) (*Client, error) {
	c := setting.Copy(config)
	faults := []error{setting.Refuse(queue == nil && len(c.Queues) == 0, "the queue is nil, and no kind has one")}
	c.Queues = maps.Clone(c.Queues)
	for kind, q := range c.Queues {
		faults = append(faults, setting.Refuse(kind == "" || q == nil, "Queues[%q]: neither the kind nor the queue may be empty", kind))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	if c.Codec == nil {
		c.Codec = handler.JSON
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Client{queue: queue, cfg: c}, nil
}

// Enqueue sends a job and returns the ID of its message. Nil options have the defaults.
// It blocks as the queue's Send does, and returns its error, which names the limit if the
// queue can't delay a job as long as asked. For [Options].Unique, Debounce and Tx the queue
// must be a [Table].
func (c *Client) Enqueue(ctx context.Context, j Job, options *Options) (id string, err error) {
	m, err := c.message(j, options)
	if err != nil {
		return "", err
	}
	if err := c.send(ctx, m, options); err != nil {
		return "", fmt.Errorf("job: enqueue %q: %w", m.Attribute(attribute.Kind), err)
	}
	return m.ID, nil
}

// send sends a job to the queue of its kind, or writes it into that queue's table.
func (c *Client) send(ctx context.Context, m *handler.Message, o *Options) (err error) {
	queue := c.queue
	if q, ok := c.cfg.Queues[m.Attribute(attribute.Kind)]; ok {
		queue = q
	}
	if queue == nil {
		return errors.New("no queue is known for this kind: add it to job.Config.Queues, or to jobs in the configuration")
	}
	if o == nil || o.Tx == nil && o.Unique == "" && o.Debounce == "" {
		return queue.Send(ctx, m)
	}
	table, ok := queue.(Table)
	if !ok {
		return errors.New("Unique, Debounce and Tx need a table: set delay_store in the configuration and open the client by service.OpenJobs, or give a job.Table")
	}
	switch {
	case o.Unique != "":
		_, err = table.SendUnique(ctx, o.Tx, o.Unique, m)
	case o.Debounce != "":
		_, err = table.Debounce(ctx, o.Tx, o.Debounce, m)
	default:
		err = table.SendTx(ctx, o.Tx, m)
	}
	return err
}

// message makes the message of a job.
func (c *Client) message(j Job, options *Options) (*handler.Message, error) {
	if j == nil {
		return nil, errors.New("job: the job is nil")
	}
	kind, err := read(j)
	if err != nil {
		return nil, err
	}
	m := &handler.Message{}
	if failed := invoke.DoApart(func() { err = c.cfg.Codec.Encode(m, j) }); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("job: encode %q: %w", kind, err)
	}
	m.SetAttribute(attribute.Kind, kind)
	if err := options.apply(m, c.cfg.Now()); err != nil {
		return nil, fmt.Errorf("job: enqueue %q: %w", kind, err)
	}
	return m, nil
}
