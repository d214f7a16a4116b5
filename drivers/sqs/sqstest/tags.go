package sqstest

import (
	"maps"
	"unicode/utf8"
)

// The limits of tags.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags checks new tags that are added to those there are.
func checkTags(queue string, tags, present map[string]string) *apiError {
	total := len(present)
	for k, v := range tags {
		if k == "" || utf8.RuneCountInString(k) > maxTagKey {
			return invalidParameter("Tag keys must be between 1 and %d characters in length.", maxTagKey)
		}
		if utf8.RuneCountInString(v) > maxTagValue {
			return invalidParameter("Tag values must be between 0 and %d characters in length.", maxTagValue)
		}
		if _, ok := present[k]; !ok {
			total++
		}
	}
	if total > maxTags {
		return invalidParameter("Too many tags added for queue %s.", queue)
	}
	return nil
}

// tagActions read and change the tags of queues.
type tagActions struct{ *registry }

func (s *tagActions) tagQueue(c *call, q *queueRequest) *apiError {
	if len(q.Tags) == 0 {
		return missing("Tags")
	}
	return s.change(c, q.QueueURL, func(old *settings) (*settings, *apiError) {
		if err := checkTags(old.name, q.Tags, old.tags); err != nil {
			return nil, err
		}
		tags := map[string]string{}
		maps.Copy(tags, old.tags)
		maps.Copy(tags, q.Tags)
		return old.tagged(tags), nil
	})
}

func (s *tagActions) untagQueue(c *call, q *queueRequest) *apiError {
	if len(q.TagKeys) == 0 {
		return invalidParameter("Tag keys must be between 1 and %d characters in length.", maxTagKey)
	}
	return s.change(c, q.QueueURL, func(old *settings) (*settings, *apiError) {
		tags := maps.Clone(old.tags)
		for _, k := range q.TagKeys {
			delete(tags, k)
		}
		return old.tagged(tags), nil
	})
}

func (s *tagActions) listQueueTags(c *call, q *queueRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	c.out.open('{')
	if len(found.tags) > 0 {
		c.out.stringMap("Tags", found.tags)
	}
	c.out.close('}')
	return nil
}
