// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"
#include "tests/coordinator/small_run.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::coordinator {

/// A campaign in miniature: a search to 2,048 tokens, one from there to 4,096 on tuned weights, a
/// list for 256 tokens on these, and one list for two lengths on the first weights.
inline Configuration small_campaign() {
    Configuration configuration = small_configuration(2);
    StageSettings second = configuration.stages.front();
    second.name = "4096";
    second.target_tokens = 4096;
    second.base = "2048";
    second.model = "tuned";
    second.start_tokens = "gene";
    StageSettings recovery = second;
    recovery.name = "256";
    recovery.target_tokens = 256;
    recovery.kind = "recovery";
    recovery.bound = "1+s";
    StageSettings both = configuration.stages.front();
    both.name = "both";
    both.objective = "256 = 1, 2048 = 3";
    configuration.stages.insert(configuration.stages.end(), {second, recovery, both});
    return configuration;
}

/// @param tuned  digest of the tuned weights; empty: they do not exist yet
inline RunFacts campaign_facts(const std::string& tuned = "model 2") {
    RunFacts facts = small_facts();
    facts.stage_model_digests = {{"4096", tuned}, {"256", tuned}};
    return facts;
}

/// What workers evaluate each stage of the campaign with.
inline std::vector<protocol::Setup> campaign_setups() {
    std::vector<protocol::Setup> setups(4);
    for (protocol::Setup& setup : setups) setup.model_path = "first";
    setups[1].model_path = setups[2].model_path = "tuned";
    return setups;
}

}  // namespace longrope::coordinator
