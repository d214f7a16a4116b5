package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/service"
)

// probeTimeout is how long a probe waits for the answer, unless a flag says otherwise;
// maxProbed is how much of an answer it shows.
const (
	probeTimeout = 3 * time.Second
	maxProbed    = 4 << 10
)

// A probeCommand asks a worker whether it is live or ready.
type probeCommand struct {
	*app
	ready   bool
	timeout time.Duration
}

func newProbe(a *app) *cobra.Command {
	p := &probeCommand{app: a, timeout: probeTimeout}
	c := &cobra.Command{
		Use:   "probe [ADDR]",
		Short: "Ask a worker whether it is live or ready",
		Long: `Asks the admin listener of a worker whether the worker is live: it requests /livez, or
/readyz with --ready. The exit status is 0 if it is, and 1 if it is not or does not
answer. It is for health checks of containers, whose images have no other program.

ADDR is the listener's address; a port alone is on 127.0.0.1. Without it, it is the
configuration's service.admin, which $SLUICE_SERVICE_ADMIN sets too, or else
` + service.DefaultAdmin + `. An address of all interfaces, 0.0.0.0 or [::], is asked by loopback.`,
		Example: `  sluice probe
  sluice probe 9090 --ready`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), args)
		},
	}
	f := c.Flags()
	f.BoolVar(&p.ready, "ready", false, "ask whether it is ready: it can receive and settle")
	durationVar(f, &p.timeout, "timeout", "give up after this time")
	return c
}

// probed is a worker's answer.
type probed struct {
	URL    string `json:"url"`
	Status int    `json:"status"`
}

func (p *probeCommand) run(ctx context.Context, args []string) error {
	addr, err := p.address(args)
	if err != nil {
		return err
	}
	url := "http://" + addr + "/livez"
	if p.ready {
		url = "http://" + addr + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usage("probe: %q is not an address: HOST:PORT, or a port", addr)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("probe: the worker does not answer: %w (its admin listener is that of --metrics or service.admin)", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxProbed))
		return fmt.Errorf("probe: %s answered %s: %s", url, answer.Status, strings.TrimSpace(string(body)))
	}
	return p.print(probed{url, answer.StatusCode}, "%s: %s\n", url, answer.Status)
}

// address returns the address to ask, which is never that of all interfaces.
func (p *probeCommand) address(args []string) (string, error) {
	var addr string
	if len(args) == 1 {
		addr = args[0]
	} else {
		conf, err := p.config()
		if err != nil {
			return "", err
		}
		addr = cmp.Or(conf.Service().Admin, service.DefaultAdmin)
	}
	if addr == service.NoAdmin {
		return "", usage("probe: service.admin is %q, so that no worker of this configuration can be asked: give it an address", addr)
	}
	host, port, err := net.SplitHostPort(service.Loopback(addr))
	if err != nil {
		return "", usage("probe: %w", err)
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}
