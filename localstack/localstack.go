// Package localstack runs LocalStack, an AWS on this machine, without Docker, for
// tests and for working by hand: a pinned version in a virtual environment of the
// user's cache directory, which is made at the first start and takes a Python of
// 3.11 or newer.
//
// Tests start one with [Start]. By hand:
//
//	go run ./localstack/cmd/localstack start
//	eval "$(go run ./localstack/cmd/localstack env)"
//	go run ./localstack/cmd/localstack stop
package localstack

import (
	"context"
	_ "embed" // for the requirements
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/install"
	"github.com/sluice-go/sluice/internal/process"
)

// Version is LocalStack's version. The image in docker-compose.yml is the same.
const Version = "4.9.2"

// DefaultServices are the AWS services that run if none are named.
const DefaultServices = "sqs,sns,s3,sts,cloudwatch"

//go:embed requirements.txt
var requirements []byte

// Config configures LocalStack. The zero Config runs DefaultServices on a free
// port of the loopback interface.
type Config struct {
	// Port is the port to listen on. Zero means a free one.
	Port int
	// Services are the AWS services to run, such as "sqs". Empty means
	// DefaultServices.
	Services []string
}

// A Server is a LocalStack that this process has started. It keeps its state
// in memory and ends with this process at the latest.
type Server struct {
	// URL is the value for AWS_ENDPOINT_URL.
	URL string

	process *process.Process
	dir     string
}

// Install makes the virtual environment, if it is not there yet, and returns
// its Python interpreter, which also has boto3. It takes about a minute once;
// processes that ask at the same time share the work.
func Install(ctx context.Context) (python string, err error) {
	return install.Python(ctx, "localstack", requirements)
}

// startTimeout is how long LocalStack may take to serve. It is a large Python program: on
// a machine with other work it takes a minute.
const startTimeout = 3 * time.Minute

// Start installs LocalStack if it is not installed, starts it and waits until it is
// healthy and serves SQS if that is among its services: about five seconds. A nil config
// is the zero Config.
func Start(ctx context.Context, c *Config) (*Server, error) {
	if c == nil {
		c = &Config{}
	}
	python, err := Install(ctx)
	if err != nil {
		return nil, err
	}
	port := c.Port
	if port == 0 {
		if port, err = process.FreePort(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "sluice-localstack-")
	if err != nil {
		return nil, err
	}
	args, env := Command(python, dir, port, c.Services)
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", port), dir: dir}
	s.process, err = process.Start(ctx, process.Spec{
		Name: "LocalStack", Args: args, Env: env, Dir: dir, RemoveDir: true, Port: port,
		Healthy: s.serves(c.Services), Timeout: startTimeout,
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// serves returns the health check. LocalStack loads a service at the first request to it,
// which takes longer than clients wait on a busy machine.
func (s *Server) serves(services []string) func(context.Context) error {
	healthy := process.HTTP(s.URL + "/_localstack/health")
	if len(services) > 0 && !slices.Contains(services, "sqs") {
		return healthy
	}
	sqs := process.HTTP(s.URL + "/?Action=ListQueues&Version=2012-11-05")
	return func(ctx context.Context) error {
		if err := healthy(ctx); err != nil {
			return err
		}
		return sqs(ctx)
	}
}

// Stop ends the server. Its queues and messages are lost. A second call does nothing.
func (s *Server) Stop() error {
	return errors.Join(s.process.Stop(), os.RemoveAll(s.dir))
}

// Command returns the command line that runs LocalStack with the interpreter
// that [Install] returned, and what to add to the environment. dir is an
// existing directory that it may write to.
func Command(python, dir string, port int, services []string) (args, env []string) {
	names := DefaultServices
	if len(services) > 0 {
		names = strings.Join(services, ",")
	}
	return []string{python, "-m", "localstack.runtime.main"}, []string{
		"PATH=" + filepath.Dir(python) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"SERVICES=" + names,
		"GATEWAY_LISTEN=127.0.0.1:" + strconv.Itoa(port),
		"FILESYSTEM_ROOT=" + dir,
		"TMPDIR=" + dir,
		// It is not to fetch anything, report anything or serve names.
		"SKIP_SSL_CERT_DOWNLOAD=1",
		"DISABLE_EVENTS=1",
		"DNS_ADDRESS=0",
		"OVERRIDE_IN_DOCKER=0",
	}
}

// Environment returns the variables with which a program uses a LocalStack at
// url: its address, a region, and credentials, which LocalStack does not check.
// AWS_ENDPOINT_URL_SQS is among them, since one that another server has left in the
// environment would win over AWS_ENDPOINT_URL; AWS_DEFAULT_REGION is for boto3.
func Environment(url string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + url,
		"AWS_ENDPOINT_URL_SQS=" + url,
		"AWS_REGION=us-east-1",
		"AWS_DEFAULT_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
	}
}
