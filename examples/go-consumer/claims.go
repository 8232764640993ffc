package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

const claimKind = "PartitionClaimed"

// claimRule tells the events of one partition from what displaced owners wrote.
type claimRule struct {
	claim int64 // offset of the last claim; -1 before the first
}

// takes says whether a record counts; it must be asked about every record, in order.
func (r *claimRule) takes(record *kgo.Record) (bool, error) {
	kind, claim, err := headers(record)
	if err != nil {
		return false, err
	}
	if kind == claimKind {
		r.claim = record.Offset
		return true, nil
	}
	return claim == r.claim, nil
}

// claimBefore finds the claim in force just before a record: its own claim header says
// how far back to look, and the last claim from there on is it.
func (t topicReader) claimBefore(ctx context.Context, record *kgo.Record) (int64, error) {
	kind, oldest, err := headers(record)
	if err != nil || kind == claimKind {
		return -1, err
	}
	oldest = max(oldest, 0)
	claim := oldest
	starts := map[int32]int64{record.Partition: oldest}
	ends := map[int32]int64{record.Partition: record.Offset}
	err = t.read(ctx, starts, ends, func(earlier *kgo.Record) error {
		kind, _, err := headers(earlier)
		if kind == claimKind {
			claim = earlier.Offset
		}
		return err
	})
	return claim, err
}

func headers(record *kgo.Record) (kind string, claim int64, err error) {
	text := ""
	for _, header := range record.Headers {
		switch header.Key {
		case "kind":
			kind = string(header.Value)
		case "claim":
			text = string(header.Value)
		}
	}
	claim, err = strconv.ParseInt(text, 10, 64)
	if err != nil || kind == "" {
		return "", 0, fmt.Errorf("expected headers kind and claim at %d@%d, but %v", record.Partition, record.Offset, record.Headers)
	}
	return kind, claim, nil
}
