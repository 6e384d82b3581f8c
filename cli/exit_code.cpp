// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_code.hpp"

#include <cxxopts.hpp>
#include <exception>

#include "cli/arguments.hpp"
#include "cli/waiting_stage.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/coordinate.hpp"
#include "coordinator/run_lock.hpp"
#include "coordinator/run_plan.hpp"
#include "coordinator/search.hpp"
#include "evaluator/evaluator.hpp"
#include "genome/genome.hpp"
#include "genome/reference_operators.hpp"

namespace longrope::cli {

ExitCode exit_code_of_current_exception() {
    try {
        throw;
    } catch (const UsageError&) {
        return ExitCode::usage;
    } catch (const cxxopts::exceptions::exception&) {
        return ExitCode::usage;
    } catch (const coordinator::ConfigurationError&) {
        return ExitCode::configuration;
    } catch (const genome::InvalidGenome&) {
        return ExitCode::configuration;
    } catch (const coordinator::HistoryWriteError&) {
        return ExitCode::system_error;
    } catch (const coordinator::HistoryError&) {
        return ExitCode::bad_file;
    } catch (const evaluator::EvaluatorError&) {
        return ExitCode::bad_file;
    } catch (const coordinator::NoWorkers&) {
        return ExitCode::nobody_left;
    } catch (const coordinator::NoParents&) {
        return ExitCode::nobody_left;
    } catch (const genome::PassesExhausted&) {
        return ExitCode::nobody_left;
    } catch (const StageWaits&) {
        return ExitCode::waiting;
    } catch (const coordinator::RunDirectoryInUse&) {
        return ExitCode::directory_in_use;
    } catch (const coordinator::WatchStopped&) {
        return ExitCode::stopped_early;
    } catch (...) {
        return ExitCode::system_error;
    }
}

const char* message_of_current_exception() {
    static thread_local std::string message;
    try {
        throw;
    } catch (const std::exception& error) {
        message = error.what();
    } catch (...) {
        message = "an error of unknown type";
    }
    return message.c_str();
}

}  // namespace longrope::cli
