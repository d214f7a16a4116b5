package service_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/service"
)

func TestOpenProducer(t *testing.T) {
	t.Parallel()
	mux := drivers.NewMux(&mem.Opener{})
	conf := load(t, "queues: {q: {url: 'mem://q'}, wrong: {url: 'nope://q'}, source: {source: 'mem://s'}}")
	p, err := service.OpenProducer(t.Context(), conf, mux, "q", nil)
	require.NoError(t, err)
	require.NoError(t, p.Send(t.Context(), &handler.Message{Body: []byte("x")}))
	require.NoError(t, p.Close())
	for name, c := range map[string]struct {
		queue string
		conf  *config.Config
		mux   *drivers.Mux
		own   *producer.Config
		want  string
		usage bool
	}{
		"unknown queue":  {"p", conf, mux, nil, `unknown queue "p"`, true},
		"no file":        {"q", nil, mux, nil, "no queue is configured", true}, // there is none in this folder
		"no mux":         {"q", conf, nil, nil, "the mux is nil", true},
		"unknown scheme": {"wrong", conf, mux, nil, "unknown scheme", true},
		"no sink":        {"source", conf, mux, nil, "no URL for sending", true},
		"wrong producer": {"q", conf, mux, &producer.Config{MaxInFlight: -1}, "MaxInFlight", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := service.OpenProducer(t.Context(), c.conf, c.mux, c.queue, c.own)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.usage, service.ExitStatus(err) == service.StatusUsage)
		})
	}
}
