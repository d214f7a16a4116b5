package cli

import (
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/inbox"
)

// senderFlags name the senders of webhooks and where their secrets are.
type senderFlags struct {
	standard, stripe, github, slack, shopify string // environment variables
	topics                                   []string
	sha1                                     bool
}

func (f *senderFlags) add(c *cobra.Command) {
	fl := c.Flags()
	for _, s := range []struct {
		env  *string
		name string
		of   string
	}{
		{&f.standard, "standard", "of a sender by Standard Webhooks (whsec_..., whpk_...)"}, {&f.stripe, "stripe", "of Stripe's endpoint (whsec_...)"},
		{&f.github, "github", "of GitHub's webhook"}, {&f.slack, "slack", "of Slack's app (its signing secret)"},
		{&f.shopify, "shopify", "of Shopify's app (its client secret)"},
	} {
		fl.StringVar(s.env, s.name+"-secret-env", "", "environment variable `NAME` with the secrets "+s.of)
	}
	fl.StringArrayVar(&f.topics, "sns-topic", nil, "`ARN` of an SNS topic; repeatable")
	fl.BoolVar(&f.sha1, "sns-allow-sha1", false, "take SNS's signature version 1, which a topic has unless its SignatureVersion is 2")
}

// providers returns the providers by the names of their paths.
func (f *senderFlags) providers(log *slog.Logger) (map[string]inbox.Provider, error) {
	ps := map[string]inbox.Provider{}
	var faults []error
	add := func(name, env string, open func(secrets []string) (inbox.Provider, error)) {
		if env == "" {
			return
		}
		secrets := strings.FieldsFunc(os.Getenv(env), func(r rune) bool { return r == '\n' || r == '\r' })
		if len(secrets) == 0 {
			faults = append(faults, usage("ingest: --%s-secret-env: the environment variable %s is empty or not set", name, env))
			return
		}
		p, err := open(secrets)
		if err != nil {
			faults = append(faults, usage("ingest: --%s-secret-env %s: %w", name, env, err))
		}
		ps[name] = p
	}
	add("standard", f.standard, func(s []string) (inbox.Provider, error) { return inbox.NewStandard(s, nil) })
	add("stripe", f.stripe, func(s []string) (inbox.Provider, error) { return inbox.NewStripe(s, nil) })
	add("github", f.github, func(s []string) (inbox.Provider, error) { return inbox.NewGitHub(s...) })
	add("slack", f.slack, func(s []string) (inbox.Provider, error) { return inbox.NewSlack(s, nil) })
	add("shopify", f.shopify, func(s []string) (inbox.Provider, error) { return inbox.NewShopify(s...) })
	if len(f.topics) > 0 {
		p, err := inbox.NewSNS(f.topics, &inbox.SNSConfig{AllowSHA1: f.sha1, Logger: log})
		if err != nil {
			faults = append(faults, usage("ingest: --sns-topic: %w", err))
		}
		ps["sns"] = p
	}
	switch {
	case len(faults) > 0:
		return nil, errors.Join(faults...)
	case f.sha1 && len(f.topics) == 0:
		return nil, usage("ingest: --sns-allow-sha1 goes with --sns-topic")
	case len(ps) == 0:
		return nil, usage("ingest: give a sender: --standard-secret-env, --stripe-secret-env, --github-secret-env, --slack-secret-env, --shopify-secret-env or --sns-topic")
	}
	return ps, nil
}
