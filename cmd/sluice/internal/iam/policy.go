package iam

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/drivers/provision"
)

// rows are those of a cloud.
func rows(c Cloud) []row {
	if c == AWS {
		return awsRows
	}
	return gcpRows
}

// Recordable lists the calls of a purpose that a recording must show, as "CALL on
// RESOURCE", of a queue that has everything.
func Recordable(c Cloud, p Purpose) []string {
	var out []string
	for _, r := range rows(c) {
		if r.serves(p) && r.unrecorded == "" {
			out = append(out, r.call+" on "+string(r.on))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// A Queue is one that is permitted to be used.
type Queue struct {
	*provision.Names
	// Spec is what the configuration says of it, nil if nothing.
	Spec *provision.Spec
}

// CloudOf is the cloud of a queue, empty if its provider has no permissions.
func CloudOf(n *provision.Names) Cloud {
	switch n.System {
	case "aws_sqs":
		return AWS
	case "gcp_pubsub":
		return GCP
	default:
		return ""
	}
}

// holds reports whether the condition is met by the queue.
func (q Queue) holds(c condition) bool {
	switch c {
	case byName:
		return q.ByName
	case bySubscription:
		return q.Queue != ""
	case withTags:
		return q.Spec != nil && len(q.Spec.Tags) > 0
	case withAlarms:
		return q.Spec != nil && q.Spec.Alarms != nil
	case withKey:
		return q.Spec != nil && q.Spec.KMSKey != ""
	default:
		return true
	}
}

// A Resource is what permissions are on.
type Resource struct {
	// Name is the resource's ARN, or its name on Google Cloud; "*" is all of them.
	Name string
	// Only restricts the permissions to requests of which the policy's condition key has
	// the value Value, unless it is empty.
	Only, Value string
}

func (r Resource) compare(o Resource) int {
	return cmp.Or(cmp.Compare(r.Name, o.Name), cmp.Compare(r.Value, o.Value))
}

// The condition keys of AWS that a [Resource] may have.
const (
	OnlyAlias  = "kms:ResourceAliases"
	OnlyPrefix = "s3:prefix"
)

// resource returns what has the role; its name is empty if the queue has none.
func (q Queue) resource(on role) Resource {
	switch on {
	case theQueue:
		return Resource{Name: q.Queue}
	case theTopic:
		return Resource{Name: q.Topic}
	case deadLetters:
		return Resource{Name: q.DeadLetter}
	case theDeadTopic:
		return Resource{Name: q.DeadLetterTopic}
	case theProject:
		return Resource{Name: q.Project}
	case theAlarms:
		return Resource{Name: beside(q.Queue, "cloudwatch", "alarm:sluice-"+q.Queue[strings.LastIndexByte(q.Queue, ':')+1:]+"-*")}
	case theKey:
		return q.key()
	default:
		return Resource{Name: "*"}
	}
}

// A Bucket is one that keeps bodies, or letters of a queue.
type Bucket struct {
	Cloud Cloud
	// Name is the bucket's name, and Prefix what its keys begin with, if it is not empty.
	Name, Prefix string
}

// resource returns what has the role, of a bucket that is used by programs of the queue.
func (b Bucket) resource(q Queue, on role) Resource {
	if b.Cloud == GCP {
		return Resource{Name: "projects/_/buckets/" + b.Name}
	}
	arn := "arn:" + strings.Split(q.Queue, ":")[1] + ":s3:::" + b.Name
	switch {
	case on == theObjects:
		return Resource{Name: arn + "/" + b.Prefix + "*"}
	case on == thePrefix && b.Prefix != "":
		return Resource{arn, OnlyPrefix, b.Prefix}
	default:
		return Resource{Name: arn}
	}
}

// beside returns the ARN of another service's resource in the account and region of arn.
func beside(arn, service, resource string) string {
	parts := strings.Split(arn, ":")
	return strings.Join([]string{parts[0], parts[1], service, parts[3], parts[4], resource}, ":")
}

// key returns the queue's key. A policy cannot name an alias: it is all keys, restricted to
// those with the alias.
func (q Queue) key() Resource {
	switch k := q.Spec.KMSKey; {
	case strings.HasPrefix(k, "arn:"):
		return Resource{Name: k}
	case strings.HasPrefix(k, "alias/"):
		return Resource{beside(q.Queue, "kms", "key/*"), OnlyAlias, k}
	default:
		return Resource{Name: beside(q.Queue, "kms", "key/"+k)}
	}
}

// A Grant is permissions on resources.
type Grant struct {
	Permissions []string
	Resources   []Resource
}

// Least returns the least permissions for purposes on queues and buckets of one cloud,
// sorted.
func Least(purposes []Purpose, queues []Queue, buckets []Bucket) []Grant {
	permissions := make(map[Resource]map[string]bool)
	permit := func(r Resource, permission string) {
		if permissions[r] == nil {
			permissions[r] = make(map[string]bool)
		}
		permissions[r][permission] = true
	}
	for _, q := range queues {
		for _, r := range rows(CloudOf(q.Names)) {
			if !slices.ContainsFunc(purposes, r.serves) {
				continue
			}
			if r.when == withBucket {
				for _, b := range buckets {
					for _, n := range r.needs {
						permit(b.resource(q, n.on), n.permission)
					}
				}
				continue
			}
			if !q.holds(r.when) || q.resource(r.on).Name == "" {
				continue
			}
			for _, n := range r.needs {
				permit(q.resource(n.on), n.permission)
			}
		}
	}
	grants := make(map[string]*Grant)
	for resource, set := range permissions {
		list := make([]string, 0, len(set))
		for permission := range set {
			list = append(list, permission)
		}
		slices.Sort(list)
		key := strings.Join(list, " ")
		if grants[key] == nil {
			grants[key] = &Grant{Permissions: list}
		}
		grants[key].Resources = append(grants[key].Resources, resource)
	}
	out := make([]Grant, 0, len(grants))
	for _, g := range grants {
		slices.SortFunc(g.Resources, Resource.compare)
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Grant) int { return a.Resources[0].compare(b.Resources[0]) })
	return out
}
