// What is mapped, remapped, protected, advised and unmapped.
#include "block_events.hpp"
#include "checks/checks.hpp"

namespace fil {

template <class Action>
void Tracker::in_session(std::uint32_t session, Action action) {
  if (!takes_part(session) && session != program_session_) {
    return;
  }
  const Thread thread = is_program_ ? Thread{Gil::not_held, nullptr} : calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (is_under_way(session)) [[likely]] {
    action(guard, thread);
  } else {
    pass(Mark::event_of_other_session);
  }
}

void Tracker::enter_mapping(const ExclusiveGuard& guard, const Range& range) {
  if (!mappings_.map(guard, ledger_, range)) {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
  if (range.counting == Counting::whole) {
    return;
  }
  // Told at once, as the process can die: what is measured later can only be less.
  const std::int64_t untouched = mappings_.untouched_bytes(guard);
  segment::Header& header = view_.header();
  if (untouched > header.most_untouched_bytes.load(std::memory_order_relaxed)) {
    header.most_untouched_bytes.store(untouched, std::memory_order_relaxed);
  }
}

void Tracker::mapped(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes,
                     const Mapping& mapping) {
  if (!takes_part(session) && session != program_session_ && !join_for_mapping(nesting, session, bytes)) {
    return;
  }
  in_session(session, [&](const ExclusiveGuard& guard, const Thread& thread) {
    SiteId site = site_of(guard, thread);
    if (mapping.kind != segment::CodeKind::python) {
      site = tree_.mapping_site(guard, site, mapping.kind, mapping.name, identity_of(mapping.object));
    }
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    enter_mapping(guard, Range{start, start + bytes, 0, site, mapping.counting,
                               mapping.kind == segment::CodeKind::mapped_file, mapping.object, mapping.offset});
  });
}

Mappings::Before Tracker::unmapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  Mappings::Before before;
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    before = mappings_.unmap(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
  return before;
}

Mappings::Before Tracker::mapping_at(const Nesting&, std::uint32_t session, const void* address) {
  Mappings::Before before;
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    before = mappings_.at(guard, reinterpret_cast<std::uintptr_t>(address));
  });
  return before;
}

void Tracker::remapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                       const Mappings::Before& before) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread& thread) {
    Mappings::Before now = before;
    now.start = reinterpret_cast<std::uintptr_t>(address);
    now.bytes = bytes;
    now.site = tree_.moved_mapping_site(guard, site_of(guard, thread), before.site);
    now.has_more = false;
    mappings_.take_back(guard, now, [&](const Range& range) { enter_mapping(guard, range); });
  });
}

void Tracker::settle(const Nesting&, std::uint32_t session, const Mappings::Before& before, Unmapping unmapping) {
  if (!before.known() || (unmapping == Unmapping::done && !before.has_more)) {
    return;
  }
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    if (unmapping == Unmapping::done) {
      mappings_.forget_set_aside(guard, before);
      return;
    }
    mappings_.take_back(guard, before, [&](Range range) {
      if (unmapping == Unmapping::only_of_pages) {
        range.counting = Counting::resident;
      }
      enter_mapping(guard, range);
    });
    if (before.is_incomplete) {
      tree_.degrade(segment::Degradation::tracker_memory_exhausted);
    }
  });
}

void Tracker::forget_if_unmapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.forget_if_unmapped(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::about_to_be_replaced(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.measure_part(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::replaced(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.replaced(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::protected_anew(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                             bool is_accessible) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    if (is_accessible) {
      mappings_.made_accessible(guard, ledger_, start, bytes);
    } else {
      mappings_.pages_given_back(guard, ledger_, start, bytes);
    }
  });
}

void Tracker::measure(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.measure_part(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::pages_given_back(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.pages_given_back(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

}  // namespace fil
