package service

import (
	"context"
	"errors"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/producer"
)

// OpenProducer opens a queue for sending, which is named as in the configuration or by its
// URL, and returns a producer to it. A nil conf is what config.Load(nil) loads; mux opens
// the queue, and a nil c has the producer's defaults. The caller closes the producer, which
// closes the queue.
func OpenProducer(ctx context.Context, conf *config.Config, mux *drivers.Mux, queue string, c *producer.Config) (*producer.Producer, error) {
	if conf == nil {
		var err error
		if conf, err = config.Load(nil); err != nil {
			return nil, err
		}
	}
	if err := setting.Refuse(mux == nil, "the mux is nil: it opens the queue"); err != nil {
		return nil, usage("service: producer of queue %q: %w", queue, err)
	}
	sink, err := conf.OpenSink(ctx, mux, queue)
	if drivers.CodeOf(err) == drivers.Invalid { // the URL is wrong, nothing else
		return nil, &usageError{err}
	}
	if err != nil {
		return nil, err
	}
	p, err := producer.New(sink, c)
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	return p, nil
}
