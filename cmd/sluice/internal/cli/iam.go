package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/cmd/sluice/internal/iam"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
)

// An iamCommand prints the least policy for a purpose.
type iamCommand struct {
	*app
	purposes, buckets []string
	cloud, member     string
}

func newIAM(a *app) *cobra.Command {
	i := &iamCommand{app: a}
	c := &cobra.Command{
		Use:   "iam QUEUE... --for PURPOSE",
		Short: "Print the least permissions that a command needs on queues",
		Long: `Prints the least permissions for exactly these queues, without asking a provider:
on AWS an IAM policy, on Google Cloud the commands that make custom roles and grant
them to --member. -o json prints the policy, or the grants, on one line.

--for says what is permitted, and may list several purposes:
  send     send messages
  run      handle messages, and reject them to the dead-letter queue
  depth    count messages, also for --metrics
  peek     look at messages
  letters  look at dead letters, and export them
  discard  delete dead letters, also when they are archived
  redrive  bring dead letters back, also changed, and do what letters and discard do
  import   send exported letters to the dead-letter queue
  purge    remove all messages or dead letters
  doctor   examine queues
  plan     compare queues with the configuration
  apply    plan and apply the configuration
  console  look at queues in the web console
The name of another command is the purpose that it needs: archive is discard. Workers
that relay, since the configuration has a delay_store, need run,send. A console with
--write needs console,redrive.

--bucket adds what the purposes need of a bucket of --claim-check, or one that export,
archive, import and redrive --from are given.

A queue that is given by its URL is taken to have a dead-letter queue of the default
name. A region or an account that neither the URL nor the configuration names is *
in the policy. docs/iam.md lists each call with its permission.`,
		Example: `  sluice iam orders --for run > policy.json
  sluice iam orders --for run,send --bucket 's3://bodies?region=us-east-1&prefix=orders/'
  sluice iam 'awssqs:///123456789012/orders?region=us-east-1' --for redrive
  sluice iam events --for send --member serviceAccount:web@my-project.iam.gserviceaccount.com | sh`,
		Args:              a.queuesArgs,
		ValidArgsFunction: a.completeQueues,
		RunE:              func(_ *cobra.Command, args []string) error { return i.run(args) },
	}
	f := c.Flags()
	f.StringSliceVar(&i.purposes, "for", nil, "the `PURPOSE`: "+purposes()+"; repeatable, or separated by commas")
	f.StringArrayVar(&i.buckets, "bucket", nil, "also the bucket at this `URL` (s3 or gs); repeatable")
	f.StringVar(&i.cloud, "cloud", "", "only the queues of this `CLOUD`: aws or gcp")
	f.StringVar(&i.member, "member", "", "the `MEMBER` that is granted the roles (Google Cloud; default: $MEMBER of the shell that runs the commands)")
	if err := c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(strings.Split(purposes(), ", "), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		a.log.Debug("no completion", "flag", "for", "error", err)
	}
	return c
}

// purposes lists them in words.
func purposes() string {
	var names []string
	for _, p := range iam.Purposes() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

func (i *iamCommand) run(names []string) error {
	if err := i.expand(); err != nil {
		return err
	}
	switch {
	case i.cloud != "" && i.cloud != string(iam.AWS) && i.cloud != string(iam.GCP):
		return usage("iam: --cloud %s: it is %s or %s", i.cloud, iam.AWS, iam.GCP)
	case strings.ContainsAny(i.member, "'\n"):
		return usage("iam: --member %q is not a member of a policy", i.member)
	}
	var (
		queues  []iam.Queue
		purpose []iam.Purpose
		cloud   = iam.Cloud(i.cloud)
	)
	for _, p := range i.purposes {
		purpose = append(purpose, iam.Purpose(p))
	}
	send := len(purpose) == 1 && purpose[0] == iam.Send
	for _, name := range names {
		q, err := i.queue(name, send)
		if err != nil {
			return err
		}
		its := iam.CloudOf(q.Names)
		switch {
		case its == "":
			return usage("iam: %s has no permissions: its provider is %s", name, q.System)
		case i.cloud != "" && its != cloud:
			continue
		case cloud != "" && its != cloud:
			return usage("iam: the queues are on two clouds: give --cloud %s or --cloud %s", iam.AWS, iam.GCP)
		}
		cloud = its
		queues = append(queues, *q)
	}
	if len(queues) == 0 {
		return usage("iam: none of the queues is on --cloud %s", i.cloud)
	}
	buckets, err := i.inCloud(cloud)
	if err != nil {
		return err
	}
	grants := iam.Least(purpose, queues, buckets)
	if cloud == iam.AWS {
		if i.member != "" {
			return usage("iam: --member is of Google Cloud: attach the policy of AWS to a role or user")
		}
		return i.aws(grants)
	}
	return i.gcp(grants, queues[0].Project)
}

// expand replaces commands in --for by the purposes that they need.
func (i *iamCommand) expand() error {
	var out []string
	for _, name := range i.purposes {
		if slices.Contains(iam.Purposes(), iam.Purpose(name)) {
			out = append(out, name)
			continue
		}
		c, ok := iam.CommandNamed(name)
		switch {
		case !ok:
			return usage("iam: --for %s: it is one of %s", name, purposes())
		case len(c.Purposes) == 0:
			return usage("iam: sluice %s needs no permission of a cloud: %s", name, cmp.Or(c.Note, "it calls no provider"))
		}
		for _, p := range c.Purposes {
			out = append(out, string(p))
		}
	}
	if len(out) == 0 {
		return usage("iam: --for says what is permitted: %s", purposes())
	}
	i.purposes = out
	return nil
}

// bucketText matches names and prefixes of buckets that mean themselves in a policy and in a
// shell.
var bucketText = regexp.MustCompile(`^[A-Za-z0-9._/-]*$`)

// inCloud returns the buckets of --bucket that are in a cloud.
func (i *iamCommand) inCloud(cloud iam.Cloud) ([]iam.Bucket, error) {
	var out []iam.Bucket
	for _, raw := range i.buckets {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return nil, usage("iam: --bucket %s is not the URL of a bucket, such as s3://bodies?region=us-east-1", config.Redact(raw))
		}
		b := iam.Bucket{Name: u.Host, Prefix: u.Query().Get("prefix")}
		if !bucketText.MatchString(b.Name) || !bucketText.MatchString(b.Prefix) {
			return nil, usage("iam: --bucket %s: a name and a prefix have letters, digits and . _ - and /", config.Redact(raw))
		}
		switch u.Scheme {
		case "s3":
			b.Cloud = iam.AWS
		case "gs":
			b.Cloud = iam.GCP
		default:
			return nil, usage("iam: --bucket %s: buckets of %s have no permissions of a cloud (known: s3, gs)", config.Redact(raw), u.Scheme)
		}
		switch {
		case b.Cloud == cloud:
			out = append(out, b)
		case i.cloud == "":
			return nil, usage("iam: the queues and --bucket %s are on two clouds: give --cloud %s", config.Redact(raw), cloud)
		default:
			return nil, usage("iam: --bucket %s is not on --cloud %s", config.Redact(raw), cloud)
		}
	}
	return out, nil
}

// queue names the resources of a queue, from which nothing is received if send is true.
func (i *iamCommand) queue(name string, send bool) (*iam.Queue, error) {
	q, err := i.find(name)
	if err != nil {
		return nil, err
	}
	at := q.Source
	if send || at == "" {
		at = q.Sink
	}
	if at == "" || !send && q.Source == "" {
		return nil, usage("iam: %s can't be used for %s: the configuration names no URL for it", name, strings.Join(i.purposes, ","))
	}
	opener, u, err := i.mux.Opener(at)
	if err != nil {
		return nil, opening(err)
	}
	namer, ok := opener.(provision.Namer)
	if !ok {
		return nil, usage("iam: %s: queues of %s have no permissions of a cloud", name, u.Scheme)
	}
	out := &iam.Queue{}
	if q.Configured {
		out.Spec = &q.Spec
	}
	if out.Names, err = namer.Names(u, out.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", config.Redact(at), opening(err))
	}
	if out.Queue == "" && !send {
		return nil, usage("iam: %s is a topic: --for %s needs a subscription", config.Redact(at), strings.Join(i.purposes, ","))
	}
	return out, nil
}

// The parts of an IAM policy of AWS.
type (
	policyJSON struct {
		Version   string          `json:"Version"`
		Statement []statementJSON `json:"Statement"`
	}
	statementJSON struct {
		Effect    string        `json:"Effect"`
		Action    []string      `json:"Action"`
		Resource  []string      `json:"Resource"`
		Condition conditionJSON `json:"Condition,omitempty"`
	}
	conditionJSON map[string]map[string]string
)

func (i *iamCommand) aws(grants []iam.Grant) error {
	p := policyJSON{Version: "2012-10-17"}
	for _, g := range grants {
		var named []string
		for _, r := range g.Resources {
			switch r.Only {
			case "":
				named = append(named, r.Name)
			case iam.OnlyAlias: // a key may have several
				p.Statement = append(p.Statement, statementJSON{"Allow", g.Permissions, []string{r.Name},
					conditionJSON{"ForAnyValue:StringEquals": {r.Only: r.Value}}})
			default:
				p.Statement = append(p.Statement, statementJSON{"Allow", g.Permissions, []string{r.Name},
					conditionJSON{"StringEquals": {r.Only: r.Value}}})
			}
		}
		if len(named) > 0 {
			p.Statement = append(p.Statement, statementJSON{"Allow", g.Permissions, named, nil})
		}
	}
	if i.asJSON() {
		return i.printJSON(p)
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return i.printf("%s\n", text)
}

// grantJSON is a grant of Google Cloud.
type grantJSON struct {
	Resources   []string `json:"resources"`
	project     string   // of the role
	Permissions []string `json:"permissions"`
	Role        string   `json:"role"`
}

// gcp prints the grants in each project that has a resource. The roles for buckets are in
// home, which is given as projects/P.
func (i *iamCommand) gcp(grants []iam.Grant, home string) error {
	var out []grantJSON
	home = strings.TrimPrefix(home, "projects/")
	for _, g := range grants {
		byProject := make(map[string][]string)
		var projects []string
		for _, r := range g.Resources {
			project := strings.Split(r.Name, "/")[1]
			if project == "_" { // a bucket's name says no project
				project = home
			}
			if byProject[project] == nil {
				projects = append(projects, project)
			}
			byProject[project] = append(byProject[project], r.Name)
		}
		for _, project := range projects {
			out = append(out, grantJSON{byProject[project], project, g.Permissions, roleName(i.purposes, g.Permissions)})
		}
	}
	if i.asJSON() {
		return i.printJSON(struct {
			Grants []grantJSON `json:"grants"`
		}{out})
	}
	member := "'" + i.member + "'"
	if i.member == "" {
		member = `"$MEMBER"`
		if err := i.printf(": \"${MEMBER:?the member, as serviceAccount:NAME@PROJECT.iam.gserviceaccount.com}\"\n"); err != nil {
			return err
		}
	}
	if slices.Contains(i.purposes, string(iam.Apply)) {
		if err := i.printf("# A grant on what does not exist yet fails: the first apply needs pubsub.admin on the project.\n"); err != nil {
			return err
		}
	}
	for _, g := range out {
		project := g.project
		// A role of this name has these permissions.
		if err := i.printf("gcloud iam roles describe %s --project=%s >/dev/null 2>&1 ||\n  gcloud iam roles create %s --project=%s --permissions=%s\n",
			g.Role, project, g.Role, project, strings.Join(g.Permissions, ",")); err != nil {
			return err
		}
		for _, r := range g.Resources {
			target := "projects add-iam-policy-binding " + project + " --condition=None"
			switch parts := strings.Split(r, "/"); {
			case len(parts) == 4 && parts[2] == "buckets":
				target = "storage buckets add-iam-policy-binding gs://" + parts[3] + " --condition=None"
			case len(parts) == 4:
				target = fmt.Sprintf("pubsub %s add-iam-policy-binding %s --project=%s", parts[2], parts[3], project)
			}
			if err := i.printf("gcloud %s --member=%s --role=projects/%s/roles/%s\n", target, member, project, g.Role); err != nil {
				return err
			}
		}
	}
	return nil
}

// roleName names a custom role after its purposes and its permissions, so that a role of
// the same name has the same permissions.
func roleName(purposes, permissions []string) string {
	sum := sha256.Sum256([]byte(strings.Join(permissions, " ")))
	name := "sluice"
	if len(purposes) <= 3 { // a name has at most 64 characters
		for _, p := range purposes {
			name += capital(p)
		}
	}
	return name + "_" + hex.EncodeToString(sum[:4])
}

func capital(s string) string {
	return string(unicode.ToUpper(rune(s[0]))) + s[1:]
}
